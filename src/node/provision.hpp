// What the ranks of an attempt or a replica are given before they start: the environment that they name, once it is made, and
// then cores, GPUs and memory of this node. Belongs to its owner, on the agent's loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/resources.hpp"
#include "core/result.hpp"
#include "node/allocator.hpp"
#include "node/environments.hpp"

namespace trireme {

struct NodeContext;

class Provision {
 public:
  /// Perhaps from inside ask(), and the last thing done there.
  using Ready = std::function<void(Status)>;

  explicit Provision(NodeContext& node) : node_(node) {}
  ~Provision();
  Provision(const Provision&) = delete;
  Provision& operator=(const Provision&) = delete;

  /// Once. What it got stays taken until give_back(). An empty `environment` is none.
  void ask(const std::string& environment, const Resources& per_rank, std::uint32_t ranks, Ready ready);
  /// Gives back what there is, or asks for it no longer; `ready` is not called any more.
  void give_back();

  const Environments::Made& environment() const { return environment_; }
  /// One for each rank; empty once they are given back.
  const std::vector<Allocation>& allocations() const { return allocations_; }

 private:
  void ask_for_resources();
  void answer(Status status);

  NodeContext& node_;
  Resources per_rank_;
  std::uint32_t ranks_ = 1;
  Ready ready_;
  Environments::Made environment_;
  ResourceQueue::Ticket ticket_ = 0;
  bool in_line_ = false;  ///< for resources
  std::vector<Allocation> allocations_;
  std::shared_ptr<bool> open_ = std::make_shared<bool>(true);  ///< gone once it was given back
};

}  // namespace trireme
