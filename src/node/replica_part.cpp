#include "node/replica_part.hpp"

#include <utility>

namespace trireme {

ReplicaPart::ReplicaPart(NodeContext& node, StartReplica order, Over over)
    : node_(node),
      order_(std::move(order)),
      over_(std::move(over)),
      values_(replica_values(node, order_)),
      provision_(node) {}

void ReplicaPart::start() {
  const ServiceDescription& service = order_.service;
  provision_.ask(service.environment, service.per_rank, order_.local_ranks, [weak = weak_from_this()](Status status) {
    const auto self = weak.lock();
    if (!self) return;
    if (!status.ok()) return self->fail(status.error().text());
    self->phase_ = Phase::head;
    if (self->knows_head_) self->prepare_start();
  });
}

void ReplicaPart::on_head(wireup::HeadAddress head) {
  if (std::exchange(knows_head_, true)) return;
  values_.head = std::move(head);
  if (phase_ == Phase::head) prepare_start();
}

void ReplicaPart::prepare_start() {
  phase_ = Phase::preparing;
  auto plan = plan_replica(node_, order_, provision_, values_, false);
  if (!plan) return fail(plan.error().text());
  Preparation preparation = std::move(plan->preparation);
  const bool posted = node_.files.run<Status>(
      [preparation = std::move(preparation), token = stop_.get_token()] { return prepare(preparation, token); },
      [weak = weak_from_this(), plan = std::move(*plan)](Status prepared) mutable {
        const auto self = weak.lock();
        if (!self) return;
        if (self->asked_to_end_) return self->finish();
        if (!prepared.ok()) return self->fail(prepared.error().text());
        self->run(std::move(plan));
      });
  if (!posted) fail("too much file work is waiting on this node");
}

void ReplicaPart::run(ReplicaPlan plan) {
  phase_ = Phase::running;
  group_ = std::make_shared<RankGroup>(
      node_,
      RankGroup::Options{
          .part = {order_.id, order_.first_rank, order_.local_ranks, order_.service.ranks, order_.layout},
          .method = std::move(plan.method),
          .lasting = true},
      RankGroup::Events{.started = nullptr, .ending = nullptr, .over = [weak = weak_from_this()](GroupEnd over) {
                          if (const auto self = weak.lock()) self->processes_over(std::move(over));
                        }});
  group_->start(std::move(plan.ranks));
}

void ReplicaPart::processes_over(GroupEnd over) {
  end_ = std::move(over.end);
  if (asked_to_end_ || over.stderr_path.empty()) return finish();
  const bool posted = node_.files.run<std::string>(
      [err = over.stderr_path, out = over.stdout_path] {
        return words_of_logs({err, out});
      },
      [weak = weak_from_this()](const std::string& words) {
        const auto self = weak.lock();
        if (!self) return;
        self->end_.reason += words;
        self->finish();
      });
  if (!posted) finish();
}

void ReplicaPart::end_now() {
  if (std::exchange(asked_to_end_, true)) return;
  stop_.request_stop();
  if (phase_ == Phase::provision || phase_ == Phase::head) finish();
  if (phase_ == Phase::running) group_->stop(std::string(stopped_on_request));
}

void ReplicaPart::fail(const std::string& why) {
  end_.outcome = Outcome::failed;
  end_.reason = why;
  finish();
}

void ReplicaPart::finish() {
  if (phase_ == Phase::over) return;
  const auto keep = shared_from_this();
  phase_ = Phase::over;
  provision_.give_back();
  over_({order_.id, finished(node_, values_, std::move(end_), asked_to_end_), false});
}

}  // namespace trireme
