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
Result<std::vector<T>> decode_all(std::string_view bytes) {
  auto messages = archive::read_all<T>(bytes);
  if (!messages) {
    messages.error().what = "messages cannot be read: " + messages.error().what;
    messages.error().where = "the fabric";
  }
  return messages;
}

}  // namespace trireme
