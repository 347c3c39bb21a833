// One client of a measurement: a keep-alive connection, one request at a time, the next as soon as the answer is complete.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "load/plan.hpp"
#include "load/record.hpp"
#include "proxy/http/codec.hpp"
#include "proxy/http/stream.hpp"

namespace trireme::load {

class Client {
 public:
  Client(std::size_t index, const Target& target, std::string headers, Plan& plan, Record& record)
      : index_(index), target_(target), headers_(std::move(headers)), plan_(plan), record_(record) {}

  /// Connects and sends the first request. Waits for the connection; errors are for the user.
  Status start();
  /// The descriptor has something; reads at most `limit` bytes. False when the client has nothing more to do.
  bool on_readable(std::size_t limit);
  int descriptor() const { return socket_.get(); }

 private:
  Status connect();
  /// False when there is no next request.
  bool send_next();
  bool take();
  bool broken();

  const std::size_t index_;
  const Target& target_;
  const std::string headers_;
  Plan& plan_;
  Record& record_;
  proxy::http::Descriptor socket_;
  std::string request_;
  proxy::http::InputBuffer in_;
  proxy::http::HeadParser parser_;
  proxy::http::ResponseHead head_;
  proxy::http::BodyDecoder decoder_;
  bool in_body_ = false;
  bool body_begun_ = false;
  MonoTime sent_at_ = 0;
};

}  // namespace trireme::load
