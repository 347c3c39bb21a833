// How many attempts beyond the first the requests of a service may make, so that retries do not amplify an outage.
//
// A bucket of tokens: each request adds a share of one, each second adds a few while there are few (so that a service with
// little traffic can still retry), and each retry takes one. Kept by every ingress for its own clients' requests.
//
// Pure: time is an argument.
#pragma once

#include "core/defaults.hpp"
#include "core/units.hpp"

namespace trireme::proxy {

class RetryBudget {
 public:
  void on_request();
  /// Takes a token; false if there is none.
  bool take(MonoTime now);

 private:
  double tokens_ = defaults::retry_floor;
  MonoTime filled_ = 0;
};

}  // namespace trireme::proxy
