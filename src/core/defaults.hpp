// Every default of the runtime, once. Documentation and code refer to these.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace trireme::defaults {

using namespace std::chrono_literals;

// Tasks.
constexpr std::uint32_t cores_per_rank = 1;
constexpr auto stop_grace = 5s;     ///< between TERM and KILL when an attempt is ended
constexpr auto drain_grace = 30s;   ///< how long running tasks may go on after the first Ctrl-C or a SIGTERM

// Services.
constexpr std::uint32_t service_cores = 1;
constexpr std::uint32_t concurrency = 16;     ///< requests in flight per replica
constexpr std::uint32_t queue = 1024;         ///< waiting requests per service; beyond it: 429
constexpr auto ready_timeout = 5min;
constexpr auto probe_interval = 50ms;         ///< between readiness probes of a starting replica
constexpr auto probe_timeout = 5s;            ///< one probe
constexpr auto live_every = 10s;
constexpr std::uint32_t live_failures = 3;
constexpr std::uint32_t restart_max = 3;
constexpr auto restart_backoff = 1s;          ///< doubles with each restart, up to restart_backoff_max
constexpr auto restart_backoff_max = 1min;
constexpr auto drain = 30s;

// Proxy.
constexpr std::size_t max_request_held = 32u << 20;  ///< bytes of a body held to find its model; beyond: 413
constexpr std::size_t stream_window = 256u << 10;    ///< bytes in flight per direction of one exchange
constexpr std::size_t replay_limit = 1u << 20;       ///< bytes of a request body kept for a retry
constexpr auto affinity_wait = 50ms;
constexpr auto request_deadline = 10min;             ///< from arrival to the first byte of the answer

// Fabric.
constexpr std::size_t frame_bytes = 64u << 10;       ///< one MPI message at most
constexpr std::uint32_t frame_credits = 32;          ///< frames per peer and class that may be unacknowledged
constexpr auto heartbeat_every = 1s;
constexpr auto heartbeat_lost = 30s;                 ///< silence after which a rank is lost
constexpr auto spin = 50us;                          ///< after activity, before the rank sleeps
constexpr auto sleep_min = 20us;
constexpr auto sleep_max = 2ms;
constexpr auto finalize_deadline = 5s;               ///< for MPI_Finalize; then the process ends without it

// Event log.
constexpr std::size_t segment_bytes = 64u << 20;
constexpr auto commit_every = 20ms;                  ///< group commit: an event is on its way to disk within this

}  // namespace trireme::defaults
