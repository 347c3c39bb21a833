#include "launch/step/launch.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <optional>
#include <sstream>
#include <utility>

#include "core/defaults.hpp"
#include "node/child_listener.hpp"
#include "node/end_words.hpp"
#include "node/log_tail.hpp"
#include "node/processes.hpp"
#include "node/spawner/locate.hpp"

namespace trireme::step {
namespace {

constexpr std::size_t longest_line = 256;

/// What one holder says: "begun", and "used MAX_RSS USER SYSTEM" before it ends. The end of the connection is no news.
class HolderConnection : public std::enable_shared_from_this<HolderConnection> {
 public:
  HolderConnection(ChildListener::Socket socket, std::function<void(const std::string&)> on_line)
      : socket_(std::move(socket)), on_line_(std::move(on_line)) {}

  void read() {
    boost::asio::async_read_until(socket_, boost::asio::dynamic_buffer(input_, longest_line), '\n',
                                  [self = shared_from_this()](boost::system::error_code failed, std::size_t bytes) {
                                    // Its holder waits for this before it ends.
                                    if (failed || !self->on_line_) return self->close();
                                    const std::string line = self->input_.substr(0, bytes - 1);
                                    self->input_.erase(0, bytes);
                                    self->on_line_(line);
                                    self->read();
                                  });
  }

  void close() {
    on_line_ = nullptr;
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

 private:
  ChildListener::Socket socket_;
  std::function<void(const std::string&)> on_line_;
  std::string input_;
};

}  // namespace

class StepLaunch::Attempt final : public ProcessOwner, public std::enable_shared_from_this<Attempt> {
 public:
  Attempt(const LaunchContext& context, std::string launcher, StepStarter starter, const LaunchPart& part, MpiKind kind,
          LaunchEvents events, std::function<void(LaunchId)> gone)
      : context_(context),
        launcher_(std::move(launcher)),
        starter_(starter),
        id_(part.id),
        first_rank_(part.first_rank),
        local_ranks_(part.local_ranks),
        events_(std::move(events)),
        gone_(std::move(gone)),
        grace_(context.loop),
        file_name_("step-" + part.id.text()),
        name_("trireme/" + context.run.run_id + "/" + part.id.text()) {
    placement_.kind = kind;
    for (const RankBlock& block : part.layout) {
      placement_.hosts.emplace_back(context.hosts.name(context.hosts.host_of(block.node)), block.local_ranks);
    }
  }

  void start() {
    const auto shim = locate_companion("trireme-shim", "TRIREME_SHIM");
    if (!shim) return events_.ready(shim.error());
    std::vector<RankWiring> wiring;
    for (std::uint32_t i = 0; i < local_ranks_; ++i) {
      auto greeting = context_.listener.expect([weak = weak_from_this()](ChildListener::Socket socket) {
        if (const auto self = weak.lock()) self->connected(std::move(socket));
      });
      if (!greeting) return events_.ready(greeting.error());
      greetings_.push_back(*greeting);
      RankWiring one;
      one.connect_path = context_.listener.path();
      one.connect_greeting = std::move(*greeting);
      one.wrapper = {*shim, "hold", name_, std::to_string(first_rank_ + i)};
      wiring.push_back(std::move(one));
    }
    if (first_rank_ == 0) {
      if (auto launched = launch(*shim); !launched.ok()) return events_.ready(launched.error());
    }
    events_.ready(std::move(wiring));
  }

  /// The ranks here are gone. A launcher that has started none of them never will; others end with the ranks elsewhere.
  void release() {
    released_ = true;
    grace_.cancel();
    if (process_ && !(begun_ && ends_with_ranks_)) context_.processes.stop(*process_, defaults::stop_grace);
    for (const std::string& greeting : greetings_) context_.listener.forget(greeting);
    for (const auto& connection : connections_) connection->close();
    connections_.clear();
  }
  bool launching() const { return process_.has_value(); }
  void stop() {
    if (process_) context_.processes.stop(*process_, defaults::stop_grace);
  }

  void on_process_started(ProcessId, const spawner::Started&) override {}
  void on_process_failed(ProcessId, const spawner::Failed& report) override { launcher_over(report.text); }
  void on_process_ended(ProcessId, const spawner::Ended& report) override {
    launcher_over(words_for_end(report, Duration{0}));
  }
  void on_process_lost(ProcessId, const Error& why) override { launcher_over(why.text()); }

 private:
  Status launch(const std::string& shim) {
    auto command = starter_(context_, {file_name_, placement_, {shim, "rank", name_}});
    if (!command) return std::move(command).error();
    ends_with_ranks_ = command->ends_with_ranks;
    command->variables.insert_or_assign(std::string(spawner::run_variable), context_.run.run_id);
    spawner::Spawn spawn;
    spawn.argv = std::move(command->argv);
    spawn.env = to_entries(command->variables);
    log_ = context_.log_folder / (file_name_ + ".log");
    spawn.stdout_path = spawn.stderr_path = log_;
    spawn.grace_ms = static_cast<std::uint32_t>(defaults::stop_grace.count());
    process_ = context_.processes.start(std::move(spawn), *this);
    return {};
  }

  void connected(ChildListener::Socket socket) {
    auto connection =
        std::make_shared<HolderConnection>(std::move(socket), [weak = weak_from_this()](const std::string& line) {
          if (const auto self = weak.lock()) self->on_line(line);
        });
    connections_.push_back(connection);
    connection->read();
  }

  void on_line(const std::string& line) {
    if (line == "begun") begun_ = true;
    if (!line.starts_with("used ")) return;
    std::istringstream words(line.substr(5));
    Usage usage;
    std::int64_t user = 0;
    std::int64_t system = 0;
    if (!(words >> usage.max_rss >> user >> system)) return;
    usage.user = Duration(user);
    usage.system = Duration(system);
    if (events_.used) events_.used(usage);
  }

  void launcher_over(const std::string& how) {
    process_.reset();
    if (released_) return gone_(id_);
    // What its ranks have to say comes another way, and tells more.
    grace_.expires_after(defaults::stop_grace);
    grace_.async_wait([weak = weak_from_this(), how](boost::system::error_code cancelled) {
      const auto self = weak.lock();
      if (!self || cancelled || self->released_) return;
      const std::string words = tail_of_file(self->log_, defaults::log_tail_lines, defaults::log_tail_bytes);
      self->events_.broken(
          {std::nullopt, 1, self->launcher_ + " ended before the task: " + how + (words.empty() ? "" : "\n" + words)});
    });
  }

  const LaunchContext& context_;
  const std::string launcher_;
  const StepStarter starter_;
  const LaunchId id_;
  const std::uint32_t first_rank_;
  const std::uint32_t local_ranks_;
  LaunchEvents events_;
  std::function<void(LaunchId)> gone_;
  boost::asio::steady_timer grace_;
  const std::string file_name_;
  const std::string name_;  ///< by which holders and shims find each other
  Placement placement_;
  std::filesystem::path log_;
  std::optional<ProcessId> process_;  ///< the launcher, while it runs here
  std::vector<std::string> greetings_;
  std::vector<std::shared_ptr<HolderConnection>> connections_;
  bool ends_with_ranks_ = true;  ///< the launcher does
  bool begun_ = false;           ///< a rank here
  bool released_ = false;
};

StepLaunch::StepLaunch(const LaunchContext& context, std::string_view name, StepStarter starter)
    : context_(context), name_(name), starter_(starter) {}

StepLaunch::~StepLaunch() = default;

void StepLaunch::prepare(const LaunchPart& part, MpiKind kind, LaunchEvents events) {
  auto attempt = std::make_shared<Attempt>(context_, name_, starter_, part, kind, std::move(events),
                                           [this](LaunchId id) { ending_.erase(id); });
  attempts_.insert_or_assign(part.id, attempt);
  attempt->start();
}

void StepLaunch::release(LaunchId id) {
  const auto found = attempts_.find(id);
  if (found == attempts_.end()) return;
  const auto attempt = found->second;
  attempts_.erase(found);
  attempt->release();
  if (attempt->launching()) ending_.insert_or_assign(id, attempt);
}

void StepLaunch::close() {
  for (const auto& [id, attempt] : ending_) attempt->stop();
}

}  // namespace trireme::step
