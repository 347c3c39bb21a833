#include "node/executors.hpp"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "core/defaults.hpp"
#include "node/spawner/locate.hpp"
#include "node/staging.hpp"
#include "node/variables.hpp"
#include "node/workplace.hpp"

namespace trireme {
namespace {

using boost::asio::local::stream_protocol;

constexpr std::uint32_t most_broken_starts = 3;

AttemptEnd never_begun(Outcome outcome, std::string reason) {
  AttemptEnd end;
  end.outcome = outcome;
  end.reason = std::move(reason);
  end.started = end.ended = wall_now();
  return end;
}

}  // namespace

Executors::Executors(NodeContext& node) : node_(node), socket_path_(node.tmp_folder / "executors") {}

Executors::~Executors() {
  *alive_ = false;
  for (auto& [key, pool] : pools_) {
    for (const auto& executor : pool.executors) executor->close();
  }
}

void Executors::later(std::function<void()> work) {
  boost::asio::post(node_.loop, [alive = alive_, work = std::move(work)] {
    if (*alive) work();
  });
}

// --- calls -----------------------------------------------------------------------------------------------------------

Executors::Pool& Executors::pool_of(const StartTask& order) {
  const FunctionCall& function = order.task.function;
  const Key key{.kind = function.kind,
                .folder = function.kind == FunctionCall::Kind::python ? function.library : "",
                .environment = order.task.environment,
                .each = order.task.per_rank};
  const auto [found, fresh] = pools_.try_emplace(key);
  Pool& pool = found->second;
  if (!fresh) return pool;
  pool.key = key;
  pool.most = std::max<std::size_t>(1, node_.node.cores.size() / std::max<std::size_t>(1, key.each.cores));
  if (key.environment.empty()) return pool;
  pool.waiting_for_environment = true;
  node_.environments.get(key.environment, [this, alive = alive_, &pool](Result<Environments::Made> made) {
    if (!*alive) return;
    pool.waiting_for_environment = false;
    if (made) {
      pool.changes = std::move(*made);
    } else {
      pool.broken = made.error().text();
    }
    later([this, &pool] { feed(pool); });
  });
  return pool;
}

void Executors::start(StartTask order, std::function<void(AttemptEnd)> over) {
  const AttemptId id = order.id;
  Pool& pool = pool_of(order);
  calls_.emplace(id, &pool);
  const bool idle = pool.queue.empty();
  FunctionTask call;
  call.id = id;
  call.function = std::move(order.task.function);
  call.known = &pool.functions[call.function.library + '\0' + call.function.name];
  call.timeout = order.task.timeout;
  call.over = [this, id, over = std::move(over)](AttemptEnd end) {
    calls_.erase(id);
    over(std::move(end));
  };
  pool.queue.push_back(std::move(call));
  // At the end of the loop's turn: the other orders of this turn go with it.
  if (idle) later([this, &pool] { feed(pool); });
}

void Executors::feed(Pool& pool) {
  if (pool.waiting_for_environment) return;
  if (pool.broken) return fail_queue(pool, *pool.broken);
  if (!node_.resources.ever_fits(pool.key.each, 1)) {
    return fail_queue(pool, "it asks for " + to_string(pool.key.each) + ", which this node does not have");
  }
  // One each in turn: the first calls of a burst run side by side.
  bool sent = true;
  while (!pool.queue.empty() && sent) {
    sent = false;
    for (const auto& executor : pool.executors) {
      if (pool.queue.empty()) break;
      if (!executor->has_room_for(pool.queue.front())) continue;
      executor->send(std::move(pool.queue.front()));
      pool.queue.pop_front();
      sent = true;
    }
  }
  if (!pool.queue.empty() && pool.executors.size() < pool.most) {
    add_executor(pool);
    if (!pool.broken) later([this, &pool] { feed(pool); });
  }
}

void Executors::fail_queue(Pool& pool, const std::string& why) {
  for (FunctionTask& call : std::exchange(pool.queue, {})) call.over(never_begun(Outcome::failed, why));
}

bool Executors::cancel(AttemptId id, const std::string& reason) {
  const auto found = calls_.find(id);
  if (found == calls_.end()) return false;
  Pool& pool = *found->second;
  const auto waits =
      std::find_if(pool.queue.begin(), pool.queue.end(), [&](const FunctionTask& call) { return call.id == id; });
  if (waits != pool.queue.end()) {
    FunctionTask call = std::move(*waits);
    pool.queue.erase(waits);
    call.over(never_begun(Outcome::cancelled, reason));
    return true;
  }
  for (const auto& executor : pool.executors) {
    if (executor->cancel(id, reason)) return true;
  }
  return false;
}

void Executors::cancel_all(const std::string& reason) {
  std::vector<AttemptId> ids;
  for (const auto& [id, pool] : calls_) ids.push_back(id);
  for (const AttemptId id : ids) cancel(id, reason);
}

// --- executors -------------------------------------------------------------------------------------------------------

Result<spawner::Spawn> Executors::plan(const Pool& pool, std::uint64_t number) {
  spawner::Spawn spawn;
  const std::string attempt =
      node_.run.run_id + "/executor/" + std::to_string(node_.rank) + "/" + std::to_string(number);
  Variables variables = make_variables(node_, pool.changes, {}, attempt);
  variables.emplace("OMP_NUM_THREADS", std::to_string(std::max<std::uint32_t>(1, pool.key.each.cores)));
  add_proxy(node_.proxy, node_.hooks.service_names(), variables);
  add_python(node_.python, variables);
  variables.insert_or_assign("TRIREME_TOKEN", node_.run.control_token);
  if (pool.key.kind == FunctionCall::Kind::python) {
    const auto python = variables.find("TRIREME_PYTHON");
    spawn.argv = {python != variables.end() ? python->second : "python3", "-m", "trireme._executor"};
  } else {
    auto program = locate_companion("trireme-executor", "TRIREME_EXECUTOR");
    if (!program) return program.error();
    spawn.argv = {*program};
  }
  spawn.argv.push_back(socket_path_.string());
  spawn.argv.push_back(std::to_string(number));
  const auto folder = node_.paths.node(node_.rank) / "executors";
  if (auto made = make_folder(folder); !made.ok()) return made.error();
  spawn.stdout_path = spawn.stderr_path = (folder / (std::to_string(number) + ".log")).string();
  spawn.cwd = folder.string();
  spawn.cpus = cpus_of(node_.node, {});
  spawn.env = to_entries(variables);
  return spawn;
}

void Executors::add_executor(Pool& pool) {
  if (auto listening = listen(); !listening.ok()) {
    pool.broken = listening.error().text();
    return fail_queue(pool, *pool.broken);
  }
  const std::uint64_t number = ++last_number_;
  auto spawn = plan(pool, number);
  if (!spawn) {
    pool.broken = spawn.error().text();
    return fail_queue(pool, *pool.broken);
  }
  auto unsent = UnsentEnds::make(executor::unsent_path(socket_path_.string(), number));
  if (!unsent) {
    if (pool.executors.empty()) return fail_queue(pool, unsent.error().text());
    pool.most = pool.executors.size();  // those that there are make the calls
    return;
  }
  Executor::Hooks hooks;
  hooks.room = [this, &pool] {
    pool.broken_starts = 0;
    feed(pool);
  };
  hooks.over = [this, &pool](Executor& executor, std::deque<FunctionTask> left, std::optional<std::string> broken) {
    on_over(pool, executor, std::move(left), std::move(broken));
  };
  auto executor = std::make_shared<Executor>(node_, number, pool.key.each, spawn->stdout_path, std::move(hooks));
  pool.executors.push_back(executor);
  starting_.emplace(number, executor);
  executor->start(std::move(*spawn), std::move(*unsent));
}

void Executors::on_over(Pool& pool, Executor& executor, std::deque<FunctionTask> left,
                        std::optional<std::string> broken) {
  starting_.erase(executor.number());
  std::erase_if(pool.executors, [&](const auto& other) { return other.get() == &executor; });
  for (auto call = left.rbegin(); call != left.rend(); ++call) {
    if (call->cancelled) {
      call->over(never_begun(Outcome::cancelled, *call->cancelled));
    } else {
      pool.queue.push_front(std::move(*call));
    }
  }
  if (broken && ++pool.broken_starts >= most_broken_starts && pool.executors.empty()) {
    // The next order tries anew: what was missing may be there by then.
    pool.broken_starts = 0;
    return fail_queue(pool, *broken);
  }
  later([this, &pool] { feed(pool); });
}

// --- connections -----------------------------------------------------------------------------------------------------

Status Executors::listen() {
  if (acceptor_) return {};
  boost::system::error_code error;
  acceptor_.emplace(node_.loop);
  const stream_protocol::endpoint endpoint(socket_path_.string());
  acceptor_->open(endpoint.protocol(), error);
  if (!error) acceptor_->bind(endpoint, error);
  if (!error) acceptor_->listen(boost::asio::socket_base::max_listen_connections, error);
  if (error) {
    acceptor_.reset();
    return Error{"cannot listen for executors at " + socket_path_.string() + ": " + error.message(), "", "",
                 ExitCode::runtime_failed};
  }
  accept();
  return {};
}

void Executors::accept() {
  acceptor_->async_accept(
      [this, alive = alive_](const boost::system::error_code& error, stream_protocol::socket socket) {
        if (!*alive || error == boost::asio::error::operation_aborted) return;
        if (!error) greet(std::make_shared<stream_protocol::socket>(std::move(socket)));
        accept();
      });
}

/// Reads the first frame of a connection, which says whose it is.
void Executors::greet(std::shared_ptr<stream_protocol::socket> socket) {
  auto bytes = std::make_shared<std::vector<char>>(4096);
  socket->async_read_some(boost::asio::buffer(*bytes), [this, alive = alive_, socket, bytes](
                                                           const boost::system::error_code& error, std::size_t size) {
    if (!*alive || error) return;
    executor::Reader reader;
    reader.feed({bytes->data(), size});
    const auto hello = reader.next();
    if (!hello || hello->kind != executor::Kind::hello) return;
    const auto found = starting_.find(hello->id);
    if (found == starting_.end()) return;
    const auto executor = found->second.lock();
    starting_.erase(found);
    if (executor) executor->connected(std::move(*socket), std::move(reader));
  });
}

}  // namespace trireme
