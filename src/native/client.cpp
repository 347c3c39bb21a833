#include <utility>

#include "native/connection.hpp"
#include "trireme/native.hpp"

namespace trireme::native {

std::optional<std::string_view> Response::header(std::string_view name) const {
  for (const Header& header : headers) {
    if (frames::same_name(header.name, name)) return header.value;
  }
  return std::nullopt;
}

Outcome Pending::get() {
  if (progress_ == nullptr) return Failure{Failure::Kind::invalid, "there is no request to wait for"};
  return connection_->get(*progress_);
}

bool Pending::done() const {
  return progress_ == nullptr || connection_->done(*progress_);
}

bool Pending::wait_for(Span most) {
  return progress_ == nullptr || connection_->wait_until(*progress_, Clock::now() + most);
}

void Pending::cancel() {
  if (progress_ != nullptr) connection_->cancel(*progress_);
}

Client::Client(ClientOptions options) : connection_(std::make_shared<Connection>(std::move(options))) {}
Client::~Client() {
  connection_->close();
}

Outcome Client::request(const Call& call) {
  const auto progress = connection_->submit(call, nullptr, true);
  return connection_->get(*progress);
}

Pending Client::submit(const Call& call) {
  return Pending(connection_, connection_->submit(call, nullptr, false));
}

void Client::submit(const Call& call, std::function<void(Outcome)> done) {
  connection_->submit(call, std::move(done), false);
}

Client::Gather::Gather(Client& client) : client_(client) {
  client_.connection_->begin_gathering();
}
Client::Gather::~Gather() {
  client_.connection_->end_gathering();
}

}  // namespace trireme::native
