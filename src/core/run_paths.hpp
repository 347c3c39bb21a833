// Where things lie in a run directory. Every path convention is here, so that the writers and the readers of a run agree.
//
//   RUN/run.json                             who runs it: the claim (journal/claim.hpp)
//   RUN/beat                                 changes while its pilot lives
//   RUN/events/00000000.log …                the event log (docs/spec/events.md)
//   RUN/tasks/ID/ATTEMPT/{stdout,stderr}     the folder of an attempt
//   RUN/services/NAME/REPLICA/ATTEMPT/…      the folder of one life of a replica
//   RUN/nodes/RANK/                          logs of the rank itself and of its spawner
//   RUN/nodes/RANK/{output,output.index}     what tasks wrote whose output is streamed (docs/spec/output.md)
//   RUN/requests/                            what other hosts ask of a live run
//   RUN/dashboard.url                        where the dashboard can be opened, while the run is on
//   RUN/summary.json                         how it ended (docs/spec/summary.md)
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "core/ids.hpp"

namespace trireme {

/// A task's id or a service's name as one component of a path: bytes beyond A-Za-z0-9._=,- become %XX, and so does the
/// first dot of "." and "..". Where the result is too long for a file name, its end is replaced by "~" and a hash.
std::string path_of_id(std::string_view id);

class RunPaths {
 public:
  explicit RunPaths(std::filesystem::path root) : root_(std::move(root)) {}

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path claim() const { return root_ / "run.json"; }
  std::filesystem::path beat() const { return root_ / "beat"; }
  std::filesystem::path events() const { return root_ / "events"; }
  std::filesystem::path task(std::string_view id) const;
  std::filesystem::path attempt(std::string_view id, std::uint32_t attempt) const;
  std::filesystem::path service(std::string_view name) const;
  std::filesystem::path replica(std::string_view name, std::uint32_t replica, std::uint32_t attempt) const;
  std::filesystem::path node(Rank rank) const;
  std::filesystem::path output(Rank rank) const { return node(rank) / "output"; }
  std::filesystem::path output_index(Rank rank) const { return node(rank) / "output.index"; }
  std::filesystem::path requests() const { return root_ / "requests"; }
  std::filesystem::path dashboard() const { return root_ / "dashboard.url"; }
  std::filesystem::path summary() const { return root_ / "summary.json"; }

 private:
  std::filesystem::path root_;
};

/// The names of an attempt's or replica's output files in its folder.
constexpr std::string_view stdout_file = "stdout";
constexpr std::string_view stderr_file = "stderr";
/// Of what each rank has of its own: rank 0 has the plain name, the others their number behind it.
std::string numbered(std::string name, std::uint32_t rank);

}  // namespace trireme
