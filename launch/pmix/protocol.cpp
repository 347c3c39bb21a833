#include "launch/pmix/protocol.hpp"

#include <cstring>

#include "archive/bounded.hpp"
#include "core/defaults.hpp"

namespace trireme::pmix {
namespace {

constexpr std::size_t prefix = sizeof(std::uint32_t);

template <typename Message>
std::string make_frame(const Message& message) {
  std::string out(prefix, '\0');
  archive::write_to(out, message);
  if (out.size() - prefix > defaults::pmix_frame) return {};
  const auto length = static_cast<std::uint32_t>(out.size() - prefix);
  std::memcpy(out.data(), &length, prefix);
  return out;
}

}  // namespace

std::string frame(const ToServer& message) {
  return make_frame(message);
}
std::string frame(const FromServer& message) {
  return make_frame(message);
}

template <typename Message>
std::optional<Result<Message>> Reader<Message>::next() {
  std::uint32_t length = 0;
  const std::string_view rest = std::string_view(buffer_).substr(start_);
  if (rest.size() >= prefix) std::memcpy(&length, rest.data(), prefix);
  if (length > defaults::pmix_frame) return Error{"a frame between agent and PMIx server is too long", "", ""};
  if (rest.size() < prefix + length) {
    buffer_.erase(0, start_);
    start_ = 0;
    return std::nullopt;
  }
  start_ += prefix + length;
  return archive::read<Message>(rest.substr(prefix, length));
}
template class Reader<ToServer>;
template class Reader<FromServer>;

}  // namespace trireme::pmix
