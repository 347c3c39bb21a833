// encode() and decode() for any type with a serialize(): include it in the one .cpp file that
// instantiates them.
#pragma once

#include <utility>

#include "archive/bounded.hpp"
#include "fabric/serialize.hpp"

namespace trireme {

template <typename T>
std::string encode(const T& message) {
  return archive::write(message);
}

template <typename T>
void append(std::string& bytes, const T& message) {
  archive::write_to(bytes, message);
}

template <typename T>
Result<T> decode(std::string_view bytes) {
  auto message = archive::read<T>(bytes);
  if (!message) {
    message.error().what = "a message cannot be read: " + message.error().what;
    message.error().where = "the fabric";
  }
  return message;
}

template <typename T>
Status decode_each(std::string_view bytes, const std::function<void(T)>& take) {
  archive::BoundedInput archive(bytes);
  while (archive.remaining() > 0) {
    T message;
    try {
      archive(message);
    } catch (const std::exception& error) {
      return Error{"messages cannot be read: " + std::string(error.what()), "the fabric", ""};
    }
    take(std::move(message));
  }
  return {};
}

}  // namespace trireme
