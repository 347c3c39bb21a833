#include "node/child_listener.hpp"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <cstdio>
#include <utility>

namespace trireme {
namespace {

using boost::system::error_code;

constexpr std::size_t greeting_bytes = 16;

}  // namespace

ChildListener::ChildListener(boost::asio::io_context& loop, std::filesystem::path path)
    : loop_(loop), path_(std::move(path)) {}

ChildListener::~ChildListener() {
  *alive_ = false;
  if (!acceptor_) return;
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

Status ChildListener::open() {
  try {
    acceptor_.emplace(loop_, boost::asio::local::stream_protocol::endpoint(path_.string()));
  } catch (const std::exception& error) {
    acceptor_.reset();
    return Error{std::string("cannot listen for processes of MPI tasks: ") + error.what(), path_.string(), ""};
  }
  accept();
  return {};
}

Result<std::string> ChildListener::expect(Connected connected) {
  if (!acceptor_) {
    if (auto opened = open(); !opened.ok()) return opened.error();
  }
  std::array<char, greeting_bytes + 1> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(++count_));
  std::string greeting(text.data(), greeting_bytes);
  expected_.emplace(greeting, std::move(connected));
  return greeting;
}

void ChildListener::accept() {
  acceptor_->async_accept([this, alive = alive_](error_code failed, Socket socket) {
    if (!*alive || failed == boost::asio::error::operation_aborted) return;
    if (!failed) greet(std::move(socket));
    accept();
  });
}

void ChildListener::greet(Socket socket) {
  struct Guest {
    Socket socket;
    std::array<char, greeting_bytes> greeting{};
  };
  auto guest = std::make_shared<Guest>(Guest{std::move(socket)});
  boost::asio::async_read(guest->socket, boost::asio::buffer(guest->greeting),
                          [this, alive = alive_, guest](error_code failed, std::size_t) {
                            if (!*alive || failed) return;
                            const auto found = expected_.find(std::string(guest->greeting.data(), greeting_bytes));
                            if (found == expected_.end()) return;
                            const Connected connected = std::move(found->second);
                            expected_.erase(found);
                            connected(std::move(guest->socket));
                          });
}

}  // namespace trireme
