// What a Request owns where it outlives the frame that it came in.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "trireme/native.hpp"

namespace trireme::native {

struct Request::Shared {
  std::string head;  ///< the payload of its frame, without the body
  std::string body;
  std::shared_ptr<std::atomic<bool>> cancelled;
};

}  // namespace trireme::native
