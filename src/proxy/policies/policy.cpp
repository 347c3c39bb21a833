#include "proxy/policies/policy.hpp"

#include "proxy/policies/hash.hpp"
#include "proxy/policies/least_outstanding.hpp"
#include "proxy/policies/power_of_two.hpp"
#include "proxy/policies/prefix.hpp"
#include "proxy/policies/random.hpp"
#include "proxy/policies/round_robin.hpp"

namespace trireme::proxy {

Needs needs_of(PolicyKind kind) {
  if (kind == PolicyKind::hash) return Needs::session;
  return kind == PolicyKind::prefix ? Needs::prefix : Needs::nothing;
}

std::unique_ptr<Policy> make_policy(PolicyKind kind, std::uint64_t seed) {
  switch (kind) {
    case PolicyKind::round_robin:
      return std::make_unique<RoundRobin>();
    case PolicyKind::random:
      return std::make_unique<Random>(seed);
    case PolicyKind::power_of_two:
      return std::make_unique<PowerOfTwo>(seed);
    case PolicyKind::hash:
      return std::make_unique<Hash>();
    case PolicyKind::prefix:
      return std::make_unique<Prefix>();
    case PolicyKind::least_outstanding:
      break;
  }
  return std::make_unique<LeastOutstanding>();
}

}  // namespace trireme::proxy
