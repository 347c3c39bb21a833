// The two APIs that model servers speak, as far as the proxy itself must speak them: its refusals, and the lists of models.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace trireme::proxy {

enum class Dialect : std::uint8_t { openai, ollama };

/// The body of a refusal of our own, as clients of the API read it: {"error": {"message", "type", "param", "code"}} or
/// {"error": MESSAGE}. `code` says more than the status where OpenAI has a word for it.
std::string error_body(Dialect dialect, int status, std::string_view message, std::string_view code = {});

/// OpenAI's word for what a status means, or empty.
std::string_view error_code(int status);

}  // namespace trireme::proxy
