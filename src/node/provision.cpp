#include "node/provision.hpp"

#include <utility>

#include "node/node_context.hpp"

namespace trireme {

Provision::~Provision() {
  if (in_line_) node_.resources.withdraw(ticket_);
}

void Provision::ask(const std::string& environment, const Resources& per_rank, std::uint32_t ranks, Ready ready) {
  per_rank_ = per_rank;
  ranks_ = ranks;
  ready_ = std::move(ready);
  if (environment.empty()) return ask_for_resources();
  node_.environments.get(environment, [this, open = std::weak_ptr(open_)](Result<Environments::Made> made) {
    if (open.expired()) return;
    if (!made) return answer(made.error());
    environment_ = std::move(*made);
    ask_for_resources();
  });
}

void Provision::ask_for_resources() {
  if (!node_.resources.ever_fits(per_rank_, ranks_)) {
    return answer(Error{"it asks for " + to_string(per_rank_.times(ranks_)) + ", which this node does not have", "", "",
                        ExitCode::does_not_fit});
  }
  in_line_ = true;
  const std::weak_ptr open(open_);
  const auto ticket = node_.resources.ask(per_rank_, ranks_, [this](std::vector<Allocation> got) {
    in_line_ = false;
    allocations_ = std::move(got);
    answer(Status{});
  });
  // All may be over by now.
  if (!open.expired()) ticket_ = ticket;
}

/// The owner may be gone when this returns.
void Provision::answer(Status status) {
  const Ready ready = std::exchange(ready_, nullptr);
  ready(std::move(status));
}

void Provision::give_back() {
  open_.reset();
  if (std::exchange(in_line_, false)) node_.resources.withdraw(ticket_);
  if (!allocations_.empty()) node_.resources.give_back(std::exchange(allocations_, {}));
}

}  // namespace trireme
