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
Result<T> decode(std::string_view bytes) {
  auto message = archive::read<T>(bytes);
  if (!message) {
    message.error().what = "a message cannot be read: " + message.error().what;
    message.error().where = "the fabric";
  }
  return message;
}

}  // namespace trireme
