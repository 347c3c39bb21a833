#include "launch/pmix/server_process.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "core/defaults.hpp"
#include "node/child_listener.hpp"
#include "node/end_words.hpp"
#include "node/spawner/locate.hpp"

namespace trireme::pmix {
namespace {

using boost::system::error_code;

}  // namespace

ServerProcess::ServerProcess(const LaunchContext& context, std::uint32_t number, Events events)
    : context_(context), name_("pmix-" + std::to_string(number)), events_(std::move(events)), deadline_(context.loop) {}

void ServerProcess::start() {
  auto program = locate_companion("trireme-pmix", "TRIREME_PMIX_SERVER");
  if (!program) return lose_later(program.error().text());
  auto greeting = context_.listener.expect([weak = weak_from_this()](Socket socket) {
    if (const auto self = weak.lock()) self->connected(std::move(socket));
  });
  if (!greeting) return lose_later(greeting.error().text());
  greeting_ = std::move(*greeting);

  spawner::Spawn spawn;
  spawn.argv = {*program, context_.tmp_folder / name_, context_.hosts.name(context_.hosts.host_of(context_.self))};
  Variables variables = context_.base;
  variables.insert_or_assign(std::string(spawner::run_variable), context_.run.run_id);
  variables.insert_or_assign("TRIREME_NODE", std::to_string(context_.self));
  // Job data come with the first answer, and not in files that each rank has to map.
  variables.emplace("PMIX_MCA_gds", "hash");
  spawn.env = to_entries(variables);
  spawn.stdout_path = spawn.stderr_path = context_.log_folder / (name_ + ".log");
  spawn.append = true;
  spawn.connect_path = context_.listener.path();
  spawn.connect_greeting = greeting_;
  process_ = context_.processes.start(std::move(spawn), *this);

  deadline_.expires_after(defaults::wireup_timeout);
  deadline_.async_wait([weak = weak_from_this()](error_code cancelled) {
    const auto self = weak.lock();
    if (self && !cancelled && !self->ready_) self->lose("it did not start in time");
  });
}

void ServerProcess::connected(Socket socket) {
  if (over_) return;
  socket_.emplace(std::move(socket));
  read();
  flush();
}

void ServerProcess::read() {
  socket_->async_read_some(boost::asio::buffer(chunk_),
                           [self = shared_from_this()](error_code failed, std::size_t bytes) {
                             if (self->over_) return;
                             // The ranks notice its end as well, and would end with errors of their own: no waiting for the
                             // spawner to tell how it ended.
                             if (failed) return self->closing_ ? void() : self->lose("its connection broke");
                             self->reader_.feed({self->chunk_.data(), bytes});
                             self->take();
                             if (!self->over_) self->read();
                           });
}

void ServerProcess::take() {
  while (auto message = reader_.next()) {
    if (over_) return;
    if (!*message) return lose(message->error().text());
    if (const auto* ready = std::get_if<Ready>(&**message)) {
      ready_ = true;
      deadline_.cancel();
      if (!ready->error.empty()) return lose(ready->error);
      continue;
    }
    events_.message(std::move(**message));
  }
}

void ServerProcess::send(const ToServer& message) {
  if (over_ || closing_) return;
  const std::string bytes = frame(message);
  if (bytes.empty()) return lose("a message to it is too large");
  waiting_ += bytes;
  flush();
}

void ServerProcess::flush() {
  if (!socket_ || !leaving_.empty()) return;
  if (waiting_.empty()) {
    // Everything is said: the end of our side is what it waits for.
    error_code ignored;
    if (closing_) socket_->shutdown(Socket::shutdown_send, ignored);
    return;
  }
  leaving_.swap(waiting_);
  boost::asio::async_write(*socket_, boost::asio::buffer(leaving_),
                           [self = shared_from_this()](error_code failed, std::size_t) {
                             self->leaving_.clear();
                             if (!failed && !self->over_) self->flush();
                           });
}

void ServerProcess::close() {
  if (over_ || std::exchange(closing_, true)) return;
  events_.message = [](const FromServer&) {};
  events_.lost = [](const std::string&) {};
  if (!socket_) return lose("");
  flush();
}

void ServerProcess::lose_later(const std::string& why) {
  boost::asio::post(context_.loop, [weak = weak_from_this(), why] {
    if (const auto self = weak.lock()) self->lose(why);
  });
}

/// It is of no use any more; its process may still be there.
void ServerProcess::lose(const std::string& why) {
  if (std::exchange(over_, true)) return;
  const auto keep = shared_from_this();
  deadline_.cancel();
  if (!greeting_.empty()) context_.listener.forget(greeting_);
  error_code ignored;
  if (socket_) socket_->close(ignored);
  if (process_ != 0) context_.processes.stop(process_, std::chrono::milliseconds(defaults::stop_grace));
  events_.lost(why);
  if (process_ == 0) events_.gone();
}

void ServerProcess::over(const std::string& why) {
  const auto keep = shared_from_this();
  process_ = 0;
  over_ ? events_.gone() : lose(why);
}

void ServerProcess::on_process_failed(ProcessId, const spawner::Failed& report) {
  over(report.text);
}
void ServerProcess::on_process_ended(ProcessId, const spawner::Ended& report) {
  over(words_for_end(report, Duration(0)));
}
void ServerProcess::on_process_lost(ProcessId, const Error& why) {
  over(why.text());
}

}  // namespace trireme::pmix
