// Every default of the runtime, once. Documentation and code refer to these.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace trireme::defaults {

using namespace std::chrono_literals;

// Tasks.
constexpr std::uint32_t cores_per_rank = 1;
constexpr std::chrono::milliseconds stop_grace = 5s;  ///< between TERM and KILL when an attempt is ended
constexpr auto drain_grace = 30s;  ///< how long running tasks may go on after the first Ctrl-C or a SIGTERM

// Services.
constexpr std::uint32_t service_cores = 1;
constexpr std::uint32_t concurrency = 16;  ///< requests in flight per replica
constexpr std::uint32_t queue = 1024;      ///< waiting requests per service; beyond it: 429
constexpr auto ready_timeout = 5min;
constexpr auto probe_interval = 50ms;  ///< between readiness probes of a starting replica
constexpr auto probe_timeout = 5s;     ///< one probe
constexpr auto live_every = 10s;
constexpr std::uint32_t live_failures = 3;
constexpr std::uint32_t restart_max = 3;
constexpr auto restart_backoff = 1s;  ///< doubles with each restart, up to restart_backoff_max
constexpr auto restart_backoff_max = 1min;
constexpr auto drain = 30s;
constexpr auto scale_up_after = 1s;    ///< of requests waiting, before replicas are added; and between two additions
constexpr auto scale_cooldown = 1min;  ///< of fewer replicas needed, before some are ended

// Proxy.
constexpr std::size_t max_request_held = 32u << 20;  ///< bytes of a body held to find its model; beyond: 413
constexpr std::size_t max_held_together = 1u << 30;  ///< of all requests of a rank; beyond: 429
constexpr std::size_t stream_window = 256u << 10;    ///< bytes in flight per direction of one exchange
constexpr std::size_t replay_limit = 1u << 20;       ///< bytes of a request body kept for a retry
constexpr auto affinity_wait = 50ms;                 ///< for the replica that the policy wants, before any will do
constexpr double affinity_load = 1.25;               ///< of the mean load: beyond it affinity gives way
constexpr std::uint32_t affinity_floor = 4;          ///< requests in flight that are no overload, whatever the mean
constexpr std::size_t prefix_nodes = 32u << 10;      ///< prompt beginnings remembered per service and rank: 2 MiB
constexpr auto request_deadline = 10min;             ///< from arrival to the first byte of the answer
constexpr auto longest_deadline = 24h * 7;           ///< that a client may ask for
constexpr std::size_t forward_chunk = 32u << 10;     ///< of a body, in one message between proxies
constexpr auto forward_retry = 1ms;                  ///< after the fabric was too full to take more of a body
constexpr std::uint32_t request_attempts = 3;  ///< that replicas may have seen; and rounds over all ready replicas
constexpr std::uint32_t request_tries = 10;    ///< with the attempts that were provably not delivered
constexpr auto retry_backoff = 25ms;           ///< before the same replica is tried again; doubles, and is jittered
constexpr double retry_share = 0.2;            ///< of a service's requests may be retries, …
constexpr double retry_most = 1000;            ///< … of which so many may be saved up, …
constexpr double retry_floor = 100;            ///< … and so many are there at the beginning, and come back …
constexpr double retry_floor_rate = 10;        ///< … at so many per second
constexpr std::uint32_t breaker_failures = 5;  ///< in a row, without a sign of life, open a replica's breaker
constexpr auto breaker_backoff = 500ms;        ///< before the first trial; doubles with each that fails
constexpr auto breaker_backoff_max = 10s;
constexpr auto busy_rest = 1s;        ///< of a remote endpoint that says 429 or 503 without Retry-After
constexpr auto busy_rest_max = 1min;  ///< of Retry-After
constexpr auto spill_after = 10s;     ///< waiting, before a request goes to endpoints that its service does not prefer
constexpr auto load_belief = 1s;      ///< how long another rank's word on a load is believed
constexpr auto load_interest = 10s;   ///< a rank that used a replica within this is told its load
constexpr auto load_interval = 5ms;   ///< between two such messages to one rank

// HTTP.
constexpr std::size_t http_head_bytes = 64u << 10;  ///< of a request or response head; beyond: 431
constexpr std::size_t http_headers = 128;           ///< header lines of a head; beyond: 431
constexpr std::size_t http_chunk_line = 4u << 10;   ///< of a chunk's size line with its extensions
constexpr std::size_t http_drain_bytes = 1u
                                         << 20;  ///< of an unread request body, taken so that the connection lives on
constexpr std::size_t http_connections = 8192;   ///< open client connections per listener
constexpr auto http_head_timeout = 30s;          ///< from a request's first byte to the end of its head
constexpr auto http_idle_timeout = 2min;         ///< of a client's connection between requests
constexpr auto http_stall_timeout = 5min;        ///< a client that neither sends what is awaited nor takes the answer
constexpr auto http_linger = 2s;                 ///< for a client to read an answer that ends its connection
constexpr auto accept_backoff = 100ms;           ///< after accept found no descriptor, memory or thread
constexpr auto upstream_connect_timeout = 5s;
constexpr auto upstream_idle_timeout = 30s;    ///< of a pooled connection to a server
constexpr std::size_t upstream_idle = 64;      ///< pooled connections per server
constexpr auto upstream_stale = 1s;            ///< a reused connection that ends within this had been closed before
constexpr std::size_t native_requests = 1024;  ///< in progress on one connection of the native protocol
constexpr int native_reads_per_turn = 8;       ///< of one connection, before the others get their turn
constexpr std::size_t native_written_at_once = 16u << 10;  ///< bytes that cost more to copy than to write by themselves
constexpr std::size_t native_unsent = 1u << 20;  ///< bytes waiting for a peer; beyond, requests from or to it wait too
constexpr std::size_t native_memories =
    256;  ///< connections of clients whose bytes go through memory; others keep to the socket

// Fabric.
constexpr std::size_t frame_bytes = 60u << 10;  ///< one MPI message at most; eager over Open MPI's TCP (64 KiB)
constexpr std::uint32_t frame_credits = 32;     ///< frames per peer and class that may be unacknowledged
constexpr auto heartbeat_every = 1s;
constexpr auto heartbeat_lost = 30s;  ///< silence after which a rank is lost
constexpr auto lease = 15s;           ///< a rank that rank 0 has not heard for so long ends all that it started
constexpr auto lease_grace = 5s;      ///< for that end; only then does the pilot start anew what a lost rank had
constexpr std::size_t max_message = 64u << 20;       ///< bytes of one message between ranks
constexpr std::size_t message_batch = 256u << 10;    ///< bytes of orders, or reports, that make one message
constexpr std::size_t control_backlog = 256u << 20;  ///< bytes of control waiting for a peer; beyond: it is lost
constexpr std::uint32_t frame_receives = 16;         ///< receives kept open per class
constexpr std::uint32_t bulk_frames_per_poll = 32;   ///< so that control is looked after between them
constexpr std::size_t epoch_inline = 4u << 10;       ///< of an endpoint epoch in its first broadcast
constexpr auto epoch_repair_after = 2s;              ///< an epoch not held by then is sent again point to point
constexpr std::uint32_t polls_per_wake = 2;          ///< of MPI, when a sleep ends
constexpr auto broadcast_look_every = 20us;          ///< whether one has come
constexpr auto loop_slice = 100us;                   ///< of a core, that a rank's event loop asks for at a time
constexpr auto spin = 50us;                          ///< after activity, before the rank sleeps
constexpr auto spin_most = 200us;                    ///< where the next event comes that soon
constexpr auto long_yield = 50us;                    ///< then others want the core
constexpr std::uint32_t spin_contended_part = 32;    ///< no spinning for so many times as long as that yield took
constexpr auto spin_contended = 100ms;               ///< but no longer than that
constexpr auto spin_after_proxy = 10ms;              ///< has had something to do: nobody else counts microseconds
constexpr std::uint32_t looks_past_io = 16;          ///< at local events, before the io_context gets its turn
constexpr auto sleep_min = 20us;
constexpr auto sleep_max = 3ms;
constexpr auto sleep_min_rung = 1ms;  ///< of a rank that all others can wake
constexpr auto sleep_max_rung = 50ms;
constexpr std::uint32_t sleep_part = 4;  ///< a sleep is this part of the time that nothing has happened
constexpr auto finalize_deadline = 5s;   ///< for MPI_Finalize; then the process ends without it

// Workflow file.
constexpr std::size_t workflow_bytes = 256u << 20;       ///< longer files are refused
constexpr std::size_t workflow_depth = 64;               ///< lists and maps inside each other
constexpr std::size_t workflow_alias_nodes = 1'000'000;  ///< nodes that YAML aliases may add
constexpr std::size_t workflow_tasks = 10'000'000;       ///< instances of all tasks together
constexpr std::size_t workflow_errors = 1000;            ///< beyond it they are not collected any more

// What people see.
constexpr std::size_t summary_failures = 100;   ///< failed tasks named in summary.json
constexpr std::size_t shown_failures = 5;       ///< failed tasks named on the terminal at the end
constexpr std::size_t shown_reason_lines = 12;  ///< of a reason that ends with the tail of a log
constexpr auto progress_redraw = 100ms;         ///< of the bar on a terminal
constexpr auto progress_line = 5s;              ///< between lines where there is no terminal
constexpr auto progress_window = 5s;            ///< that the rate of tasks is taken over

// Dashboard.
constexpr auto dashboard_every = 1s;             ///< between snapshots, and between the points of its series
constexpr auto dashboard_hurry = 250ms;          ///< at least between two of them, whoever has just opened the page
constexpr std::size_t dashboard_viewers = 8;     ///< pages that are open at once; beyond: 503
constexpr auto dashboard_stall = 30s;            ///< a page that has not taken a snapshot for so long is let go
constexpr std::size_t dashboard_points = 300;    ///< of each level of a series, …
constexpr std::size_t dashboard_levels = 5;      ///< … of which there are so many, …
constexpr std::size_t dashboard_step = 8;        ///< … each so much coarser than the one before: 5 min to 14 days
constexpr auto dashboard_latency = 5s;           ///< percentiles are of the last one to two of these
constexpr std::size_t dashboard_charted = 8;     ///< services that have a series
constexpr std::size_t dashboard_services = 100;  ///< rows of each kind at most; what is beyond is counted
constexpr std::size_t dashboard_replicas = 400;  ///< of all services together
constexpr std::size_t dashboard_task_names = 200;
constexpr std::size_t dashboard_nodes = 200;
constexpr std::size_t dashboard_reason = 1000;  ///< bytes of a reason
constexpr std::size_t dashboard_failures = 30;  ///< the last ones
constexpr std::size_t kept_failures = 100;      ///< the last ones, of a run's view

// The report of a run: one page, which is made once and kept.
constexpr std::size_t report_bins = 300;       ///< of the run's time, in its charts
constexpr std::size_t report_rate_bins = 100;  ///< where things are counted, of which a narrow bin holds few
constexpr auto report_sample = 1s;             ///< services' counters come so often while they change
constexpr std::size_t report_charted = 20;     ///< services that have a chart
constexpr std::size_t report_services = 100;   ///< rows of each kind at most; what is beyond is counted
constexpr std::size_t report_replicas = 1000;  ///< lives of replicas, of all services together
constexpr std::size_t report_task_names = 500;
constexpr std::size_t report_nodes = 500;
constexpr std::size_t report_incarnations = 100;
constexpr std::size_t report_models = 20;    ///< of a service
constexpr std::size_t report_name = 300;     ///< bytes of a name
constexpr std::size_t report_reason = 5000;  ///< bytes of a reason: with the tail of a log that it may hold

// Event log.
constexpr std::size_t segment_bytes = 64u << 20;
constexpr auto commit_every = 20ms;                     ///< group commit: an event is on its way to disk within this
constexpr std::size_t record_bytes = 16u << 20;         ///< one record at most; a longer one is damage
constexpr std::size_t journal_queue_bytes = 32u << 20;  ///< of records that wait for the disk
constexpr auto journal_wait = 30s;                      ///< for room in that queue; then the log has failed
constexpr auto journal_poll = 100ms;                    ///< between looks at a log that is followed
constexpr auto claim_beat = 5s;                         ///< between signs of life of a run, for other hosts
constexpr auto claim_watch = 15s;                       ///< how long --resume looks for them
constexpr auto journal_settle = 2s;                     ///< how long a hole in a live log may stay before it is damage

// Spawner.
constexpr auto death_grace = 1s;                    ///< between TERM and KILL once the rank is dead or its lease over
constexpr auto unkillable_after = 10s;              ///< after KILL; then a process stuck in the kernel is given up
constexpr char task_oom_score[] = "300";            ///< oom_score_adj of tasks: they go before the runtime does
constexpr auto sweep_deadline = 5s;                 ///< for KILLing what a dead spawner left behind
constexpr std::size_t spawner_backlog = 16u << 20;  ///< bytes of requests waiting for the spawner; beyond: refused

// MPI tasks.
constexpr std::size_t wireup_fanout = 8;         ///< nodes below a node in the tree of an allgather
constexpr auto wireup_unclaimed = 30min;         ///< what others gave to an allgather that this node never joins
constexpr auto wireup_timeout = 60s;             ///< for a PMIx server to start and to open a namespace
constexpr auto step_timeout = 120s;              ///< for the site's launcher to start a rank of a task
constexpr std::uint32_t pmix_namespaces = 1000;  ///< that a PMIx server opens before another takes its place
constexpr std::size_t pmix_frame = 256u << 20;   ///< bytes of one message between an agent and its PMIx server
constexpr auto pmix_farewell = 5ms;              ///< before a rank may leave PMIx_Finalize
constexpr std::size_t pmi_keys = 1u << 20;       ///< that an MPICH task may put
constexpr std::size_t elf_search_files = 256;    ///< shared objects looked at to find out which MPI a program uses

// Pilot.
constexpr std::uint32_t coreless_per_node = 1024;  ///< attempts without a core of their own that a node holds at once
constexpr std::uint32_t node_backlog = 64;         ///< attempts that a node is sent ahead of their turn, …
constexpr std::uint32_t node_backlog_most = 1024;  ///< … and at most, if it runs out of them before more come
constexpr std::uint32_t overtakes = 32;   ///< how often a blocked request is overtaken before it reserves its place
constexpr std::uint32_t node_losses = 3;  ///< lost attempts of a task that do not use up its retries
constexpr std::uint32_t stable_backoffs = 10;  ///< a replica ready for this many backoffs starts to count anew
constexpr auto patience = 30s;  ///< beyond an agent's own deadline, before the pilot goes on without its answer
constexpr std::size_t pilot_inbox = 1u << 20;  ///< messages that wait for the pilot; usually a few per node and slot
constexpr auto pilot_inbox_wait = 10s;         ///< for room there; then the run has failed
constexpr std::size_t command_shown = 200;     ///< characters of a command line in events

// Growing a run while it is on (/runtime).
constexpr std::size_t runtime_body = 8u << 20;       ///< bytes of a request; beyond: 413
constexpr std::size_t runtime_requests = 4096;       ///< of one rank in progress, waits included; beyond: 429
constexpr std::size_t runtime_bytes = 32u << 20;     ///< of their bodies; beyond: 429
constexpr std::size_t runtime_wait_tasks = 100'000;  ///< that one wait may name
constexpr std::size_t runtime_page = 10'000;         ///< tasks in one answer
constexpr auto runtime_wait = 1min;                  ///< of a wait that names no timeout
constexpr auto runtime_wait_max = 1h;                ///< a longer one is cut: ask again
constexpr auto request_folder_poll = 100ms;          ///< between looks for an answer in the run directory

// Function tasks.
constexpr std::size_t function_result = 1u << 20;  ///< bytes of one result; a larger one is a failure: use files
constexpr std::size_t function_args = 1u << 20;    ///< bytes of arguments, results of other tasks filled in
constexpr std::size_t results_held = 1u << 30;     ///< bytes of results that the pilot keeps for other tasks
constexpr std::uint32_t function_queue = 1024;     ///< calls sent ahead to one executor
constexpr auto executor_start = 1min;              ///< from its spawn to its first word

// Streamed output.
constexpr std::size_t output_chunk = 64u << 10;  ///< bytes of one record at most, and taken from a task in one turn
constexpr std::size_t output_batch = 1u << 20;   ///< bytes taken from tasks before they are written
constexpr auto tidy_gather = 20ms;               ///< what tidies up is done together
constexpr std::size_t tidy_batch = 64;           ///< at once when there is so much of it
constexpr auto output_gather = 10ms;             ///< between two rounds while tasks write little: longer records, fewer

// Node.
constexpr unsigned file_threads = 4;           ///< that stage files and read logs
constexpr std::size_t file_queue = 64u << 10;  ///< file jobs waiting for them; beyond: refused
constexpr auto transfer_connect = 30s;         ///< of a staged URL
constexpr auto transfer_stall = 60s;           ///< without a byte
constexpr auto environment_timeout = 10min;    ///< for an environment's setup
constexpr auto probe_interval_max = 1s;        ///< readiness probes become rarer as the start goes on
constexpr std::uint32_t probe_share = 20;      ///< … by this share of the time that has passed
constexpr std::uint32_t port_tries = 5;        ///< for a replica whose port somebody else takes
constexpr auto port_rest = 1min;               ///< before a port is handed out again
constexpr std::size_t log_tail_lines = 20;     ///< of a failed service's log, in its reason
constexpr std::size_t log_tail_bytes = 4u << 10;
constexpr std::size_t task_tail_bytes = 1u << 10;  ///< of a failed task's stderr: there may be many such tasks
constexpr auto file_end = 10s;        ///< for file jobs in progress at the end of a run; then they are given up
constexpr auto agent_end_extra = 5s;  ///< at the end of a run, beyond what the spawner may need

}  // namespace trireme::defaults
