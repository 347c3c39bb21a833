// libFuzzer entry: any bytes, as a request and as a response, against Boost.Beast as oracle.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "http_oracle.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trireme::proxy::http;
  const std::string_view in(reinterpret_cast<const char*>(data), size);
  for (const Opinion& opinion : {compare_with_beast<true>(in), compare_with_beast<false>(in)}) {
    if (opinion.verdict != Verdict::disagreed) continue;
    std::fprintf(stderr, "%s\n", opinion.what.c_str());
    std::abort();
  }
  return 0;
}
