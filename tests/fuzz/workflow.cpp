// Any bytes as a workflow file: loading neither crashes nor hangs, and fails with words and a place.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "workflow/load.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t most_tasks = 1000;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const trireme::LoadResult result = trireme::load_workflow_text(text, "f", "/flow", {}, most_tasks);
  for (const trireme::Diagnostic& error : result.errors) {
    if (error.message.empty() || error.line == 0) std::abort();
  }
  static_cast<void>(trireme::diagnostics_json(result));
  return 0;
}
