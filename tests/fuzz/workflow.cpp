// Any bytes as a workflow file, and as an instance in WfFormat: loading neither crashes nor hangs, and fails with words and a place.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "workflow/load.hpp"
#include "workflow/wfformat.hpp"

namespace {

void check(const std::vector<trireme::Diagnostic>& errors) {
  for (const trireme::Diagnostic& error : errors) {
    if (error.message.empty() || error.line == 0) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t most_tasks = 1000;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const trireme::LoadResult result = trireme::load_workflow_text(text, "f", "/flow", {}, most_tasks);
  check(result.errors);
  static_cast<void>(trireme::diagnostics_json(result));
  static_cast<void>(trireme::is_wfformat(text));
  check(trireme::replay_of(trireme::read_wfformat(text, "f"), 1, "/flow").errors);
  return 0;
}
