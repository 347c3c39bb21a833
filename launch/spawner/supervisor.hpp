// The spawner's rules of life and death.
//
// A task is a main process, the rest of its group, and all descendants wherever they went. While the main process lives they
// are left alone. When it ends by itself the rest is killed at once; when it was stopped or timed out, the rest keeps what is
// left of the grace. `Ended` is sent when nothing of it is left.
//
// How the rest is found. The group is killed while its leader is still a zombie, so its number cannot have passed to a
// stranger. Everything else that the main process leaves behind is given to the spawner by the kernel, so after each reaping one
// look at the spawner's own children tells all: a pid that is no main process is an orphan. Whose it is, is told by its
// group, else by attempt_variable in its environment, else by a note of its ancestry taken when its parent was killed.
// Killing an orphan hands its own children to the spawner, and so the tree comes apart from the top, however it was linked.
// An orphan that left the group and hides its environment (a daemon that overwrites its environment) belongs to one of the tasks
// that lived when it was first seen; it is killed when the last of these has ended, and no `Ended` waits for it.
//
// Death. When the rank is gone, everything gets TERM, a short grace, and KILL; Shutdown is the same with its own grace. When the
// rank's lease runs out the tasks end likewise, but the spawner stays, refusing to start anything until the lease is renewed.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "launch/spawner/channel.hpp"
#include "launch/spawner/child.hpp"
#include "launch/spawner/process_table.hpp"
#include "launch/spawner/procfs.hpp"

namespace trireme::spawner {

class Supervisor {
 public:
  explicit Supervisor(Channel& rank) : rank_(rank) {}

  void handle(Request request, TimePoint now);
  /// SIGCHLD came: collects all that ended and looks after what they left.
  void reap(TimePoint now);
  /// Does what is due.
  void advance(TimePoint now);
  /// When advance() has to be called next; never if nothing is due.
  TimePoint next_deadline() const;
  /// The rank is dead.
  void rank_lost(TimePoint now);
  /// Everything has been ended, or cannot be, and the spawner should exit.
  bool finished() const { return finished_; }

 private:
  void on(Spawn& spawn, TimePoint now);
  void on(const Signal& signal, TimePoint now);
  void on(const Stop& stop, TimePoint now);
  void on(const Lease& lease, TimePoint now);
  void on(const Shutdown& shutdown, TimePoint now);

  /// TERM to the tree now, KILL when `grace` has passed; an earlier stop with less grace left keeps it.
  void stop(Task& task, std::chrono::milliseconds grace, TimePoint now);
  void stop_all(std::chrono::milliseconds grace, TimePoint now);
  void end_everything(std::chrono::milliseconds grace, TimePoint now);
  void kill_now(Task& task, TimePoint now);
  void kill_orphan(Orphan& orphan);

  void collect_dead(TimePoint now);
  void main_process_ended(Task& task, int status, TimePoint now);
  /// Brings the list of orphans up to date; false if some were dead and not collected yet.
  bool find_orphans(TimePoint now);
  void identify(Orphan& orphan);
  void tend_orphans();
  void report_ended(TimePoint now);

  Channel& rank_;
  Launcher launcher_;
  ProcessTable table_;
  procfs::OwnChildren own_children_;
  /// Ancestry of processes whose parent was killed, until they turn up as orphans: pid -> start time and owner.
  std::map<pid_t, std::pair<std::uint64_t, std::uint64_t>> heirs_;
  std::vector<std::uint64_t> unreported_;  ///< tasks whose main process ended and whose tree may live
  std::uint64_t starts_ = 0;
  TimePoint settle_at_ = never;  ///< look again at an orphan whose environment may not be in place yet
  TimePoint lease_until_ = never;
  bool lease_over_ = false;
  bool ending_ = false;
  bool kill_all_ = false;  ///< ending, and the grace is over
  bool finished_ = false;
  TimePoint end_kill_at_ = never;  ///< when ending: KILL to all that is left
  TimePoint end_exit_at_ = never;  ///< when ending: exit, whatever is left
};

}  // namespace trireme::spawner
