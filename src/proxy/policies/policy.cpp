#include "proxy/policies/policy.hpp"

#include "proxy/policies/least_outstanding.hpp"
#include "proxy/policies/round_robin.hpp"

namespace trireme::proxy {

std::unique_ptr<Policy> make_policy(PolicyKind kind) {
  if (kind == PolicyKind::round_robin) return std::make_unique<RoundRobin>();
  return std::make_unique<LeastOutstanding>();
}

}  // namespace trireme::proxy
