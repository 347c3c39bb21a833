#include "launch/pmi/launch.hpp"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "launch/pmi/job.hpp"
#include "launch/rank_defaults.hpp"
#include "launch/wireup/exchange.hpp"
#include "node/child_listener.hpp"

namespace trireme::pmi {
namespace {

using boost::system::error_code;
using Socket = ChildListener::Socket;

/// Lines from and to one rank. A rank waits for each answer, so little is ever under way.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using OnLine = std::function<void(std::string line)>;

  Connection(Socket socket, OnLine on_line) : socket_(std::move(socket)), on_line_(std::move(on_line)) {}

  void read() {
    boost::asio::async_read_until(socket_, boost::asio::dynamic_buffer(input_, max_line), '\n',
                                  [self = shared_from_this()](error_code failed, std::size_t bytes) {
                                    // The end of a rank is its process's, which tells more.
                                    if (failed || !self->on_line_) return;
                                    std::string line = self->input_.substr(0, bytes - 1);
                                    self->input_.erase(0, bytes);
                                    self->on_line_(std::move(line));
                                    self->read();
                                  });
  }

  void send(std::string line) {
    waiting_ += line;
    if (leaving_.empty()) flush();
  }

  void close() {
    on_line_ = nullptr;
    error_code ignored;
    socket_.close(ignored);
  }

 private:
  void flush() {
    if (waiting_.empty()) return;
    leaving_.swap(waiting_);
    boost::asio::async_write(socket_, boost::asio::buffer(leaving_),
                             [self = shared_from_this()](error_code failed, std::size_t) {
                               self->leaving_.clear();
                               if (!failed) self->flush();
                             });
  }

  Socket socket_;
  OnLine on_line_;
  std::string input_;
  std::string waiting_;
  std::string leaving_;
};

}  // namespace

class PmiLaunch::Attempt : public std::enable_shared_from_this<Attempt> {
 public:
  Attempt(const LaunchContext& context, const LaunchPart& part, LaunchEvents events)
      : context_(context),
        id_(part.id),
        size_(part.ranks),
        first_rank_(part.first_rank),
        local_ranks_(part.local_ranks),
        events_(std::move(events)),
        job_({.name = "kvs_" + part.id.text(),
              .size = part.ranks,
              .first_rank = part.first_rank,
              .local_ranks = part.local_ranks,
              .mapping = process_mapping(part.layout, [&](Rank node) { return context.hosts.host_of(node); })},
             {.send = [this](std::uint32_t rank, std::string line) { send(rank, std::move(line)); },
              .exchange = [this](std::string given) { exchange(std::move(given)); },
              .abort = [this](
                           std::uint32_t rank,
                           std::int32_t code) { broken(rank, code, "MPI_Abort with code " + std::to_string(code)); }}) {
    for (const RankBlock& block : part.layout) nodes_.push_back(block.node);
  }

  void start() {
    std::vector<RankWiring> wiring;
    for (std::uint32_t i = 0; i < local_ranks_; ++i) {
      const std::uint32_t rank = first_rank_ + i;
      auto greeting = context_.listener.expect([weak = weak_from_this(), rank](Socket socket) {
        if (const auto self = weak.lock()) self->connected(rank, std::move(socket));
      });
      if (!greeting) return events_.ready(greeting.error());
      greetings_.push_back(*greeting);
      RankWiring one;
      one.defaults = rank_defaults();
      one.connect_path = context_.listener.path();
      one.connect_greeting = std::move(*greeting);
      one.variables = {{"PMI_FD", std::to_string(spawner::connection_descriptor)},
                       {"PMI_RANK", std::to_string(rank)},
                       {"PMI_SIZE", std::to_string(size_)}};
      wiring.push_back(std::move(one));
    }
    events_.ready(std::move(wiring));
  }

  void left(std::uint32_t rank) {
    job_.on_left(rank);
    check_attendance();
  }

  void end() {
    context_.exchange.forget(id_);
    for (const std::string& greeting : greetings_) context_.listener.forget(greeting);
    for (const auto& [rank, connection] : connections_) connection->close();
  }

 private:
  void connected(std::uint32_t rank, Socket socket) {
    auto connection =
        std::make_shared<Connection>(std::move(socket), [weak = weak_from_this(), rank](std::string line) {
          if (const auto self = weak.lock()) self->on_line(rank, line);
        });
    connections_[rank] = connection;
    connection->read();
  }

  void on_line(std::uint32_t rank, const std::string& line) {
    if (auto taken = job_.on_line(rank, line); !taken.ok()) return broken(rank, 1, taken.error().text());
    check_attendance();
  }

  void check_attendance() {
    if (const auto missing = job_.attendance().missing()) broken(missing->rank, 1, missing->what);
  }

  void send(std::uint32_t rank, std::string line) {
    const auto found = connections_.find(rank);
    if (found != connections_.end()) found->second->send(std::move(line));
  }

  void exchange(std::string given) {
    context_.exchange.join(
        {id_, "pmi", barriers_++}, nodes_, std::move(given),
        [weak = weak_from_this()](const std::vector<std::string>& all) {
          if (const auto self = weak.lock()) self->job_.on_gathered(all);
        },
        mono_now());
  }

  void broken(std::uint32_t rank, std::int32_t exit_code, const std::string& what) {
    events_.broken({rank, exit_code, what});
  }

  const LaunchContext& context_;
  const LaunchId id_;
  const std::uint32_t size_;
  const std::uint32_t first_rank_;
  const std::uint32_t local_ranks_;
  LaunchEvents events_;
  Job job_;
  std::vector<Rank> nodes_;
  std::uint32_t barriers_ = 0;
  std::vector<std::string> greetings_;
  std::map<std::uint32_t, std::shared_ptr<Connection>> connections_;
};

PmiLaunch::PmiLaunch(const LaunchContext& context) : context_(context) {}

PmiLaunch::~PmiLaunch() {
  for (const auto& [id, attempt] : attempts_) attempt->end();
}

void PmiLaunch::prepare(const LaunchPart& part, MpiKind /*kind*/, LaunchEvents events) {
  auto attempt = std::make_shared<Attempt>(context_, part, std::move(events));
  attempts_.insert_or_assign(part.id, attempt);
  attempt->start();
}

void PmiLaunch::rank_left(LaunchId attempt, std::uint32_t rank) {
  const auto found = attempts_.find(attempt);
  if (found != attempts_.end()) std::shared_ptr(found->second)->left(rank);
}

void PmiLaunch::release(LaunchId attempt) {
  const auto found = attempts_.find(attempt);
  if (found == attempts_.end()) return;
  found->second->end();
  attempts_.erase(found);
}

}  // namespace trireme::pmi
