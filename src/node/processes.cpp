#include "node/processes.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <utility>
#include <vector>

#include "core/defaults.hpp"

namespace trireme {

Processes::Processes(boost::asio::io_context& loop, SpawnerFactory factory,
                     std::function<void(const Error&)> on_trouble)
    : loop_(loop), factory_(std::move(factory)), on_trouble_(std::move(on_trouble)) {}

Processes::~Processes() {
  *alive_ = false;
}

Status Processes::open() {
  auto spawner =
      factory_({[this](const auto& report) { on_started(report); }, [this](const auto& report) { on_failed(report); },
                [this](const auto& report) { on_ended(report); }, [this](const auto& why) { on_lost(why); }});
  if (!spawner) return std::move(spawner).error();
  spawner_ = std::move(*spawner);
  if (lease_.count() > 0) spawner_->renew_lease(lease_);
  return {};
}

ProcessId Processes::start(spawner::Spawn request, ProcessOwner& owner) {
  const ProcessId id = ++last_id_;
  request.id = id;
  owners_.emplace(id, &owner);
  if (spawner_ == nullptr) {
    fail_later(id, {"there is no spawner", "", "", ExitCode::runtime_failed});
  } else if (auto sent = spawner_->spawn(request); !sent.ok()) {
    fail_later(id, sent.error());
  }
  return id;
}

void Processes::fail_later(ProcessId id, Error why) {
  boost::asio::post(loop_, [this, alive = alive_, id, why = std::move(why)] {
    if (*alive) on_failed({id, 0, spawner::Stage::refused, why.text()});
  });
}

void Processes::stop(ProcessId id, std::chrono::milliseconds grace) {
  if (spawner_ != nullptr) spawner_->stop(id, grace);
}

void Processes::renew_lease(std::chrono::milliseconds duration) {
  lease_ = duration;
  if (spawner_ != nullptr) spawner_->renew_lease(duration);
}

void Processes::close(std::chrono::milliseconds grace, std::function<void()> done) {
  closing_ = true;
  if (spawner_ == nullptr) {
    boost::asio::post(loop_, [alive = alive_, done = std::move(done)] {
      if (*alive) done();
    });
    return;
  }
  const auto deadline = grace + defaults::unkillable_after + defaults::agent_end_extra;
  spawner_->shutdown(grace, std::chrono::duration_cast<std::chrono::milliseconds>(deadline), std::move(done));
}

ProcessOwner* Processes::release(ProcessId id) {
  const auto found = owners_.find(id);
  if (found == owners_.end()) return nullptr;
  ProcessOwner* owner = found->second;
  owners_.erase(found);
  return owner;
}

void Processes::on_started(const spawner::Started& report) {
  const auto found = owners_.find(report.id);
  if (found != owners_.end()) found->second->on_process_started(report.id, report);
}

void Processes::on_failed(const spawner::Failed& report) {
  if (ProcessOwner* owner = release(report.id)) owner->on_process_failed(report.id, report);
}

void Processes::on_ended(const spawner::Ended& report) {
  if (ProcessOwner* owner = release(report.id)) owner->on_process_ended(report.id, report);
}

void Processes::on_lost(const Error& why) {
  // The handler of the old one is still running: it goes when the loop comes round.
  std::shared_ptr<ProcessSpawner> old = std::move(spawner_);
  boost::asio::post(loop_, [old = std::move(old)] {});
  on_trouble_(why);
  if (!closing_) {
    if (auto opened = open(); !opened.ok()) on_trouble_(opened.error());
  }
  std::vector<ProcessId> ids;
  for (const auto& [id, owner] : owners_) ids.push_back(id);
  for (const ProcessId id : ids) {
    if (ProcessOwner* owner = release(id)) owner->on_process_lost(id, why);
  }
}

}  // namespace trireme
