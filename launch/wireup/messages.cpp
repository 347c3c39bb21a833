#include "launch/wireup/messages.hpp"

#include "archive/bounded.hpp"

namespace trireme::wireup {

std::string encode(const Message& message) {
  return archive::write(message);
}

Result<Message> decode(std::string_view bytes) {
  auto message = archive::read<Message>(bytes);
  if (!message) message.error().what = "a message of another agent cannot be read: " + message.error().what;
  return message;
}

}  // namespace trireme::wireup
