#include "journal/claim.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <system_error>
#include <thread>

#include "core/run_paths.hpp"
#include "journal/files.hpp"
#include "journal/reader.hpp"
#include "journal/segment.hpp"

namespace trireme {
namespace {

using nlohmann::ordered_json;

/// When a process started, in clock ticks after boot; 0 where there is no such process. A zombie counts as gone.
std::uint64_t start_of(std::int64_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  const std::string line{std::istreambuf_iterator<char>(file), {}};
  const std::size_t name_end = line.rfind(')');  // the name may hold anything, parentheses too
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(line.substr(name_end + 1));
  std::string state;
  fields >> state;
  if (state == "Z" || state == "X") return 0;
  std::string skipped;
  for (int field = 4; field < 22; ++field) fields >> skipped;
  std::uint64_t start = 0;
  fields >> start;
  return start;
}

std::string host_name() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

std::string pid_namespace() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/ns/pid", error).string();
}

std::string to_text(const RunClaim& claim) {
  const ordered_json json{{"run_id", claim.run_id},
                          {"name", claim.name},
                          {"host", claim.host},
                          {"pid", claim.pid},
                          {"pid_start", claim.pid_start},
                          {"pid_namespace", claim.pid_namespace},
                          {"started", format_wall_time(claim.started)},
                          {"started_ns", claim.started}};
  return json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

/// What changes while a run goes on: its beat, and its log.
std::string signs_of_life(const std::filesystem::path& run_dir) {
  const RunPaths paths(run_dir);
  std::ifstream beat(paths.beat());
  std::string signs{std::istreambuf_iterator<char>(beat), {}};
  if (const auto segments = list_segments(paths.events()); !segments.empty()) {
    std::error_code error;
    signs += std::to_string(segments.back()) + ":" +
             std::to_string(std::filesystem::file_size(paths.events() / segment_name(segments.back()), error));
  }
  return signs;
}

bool shows_life(const std::filesystem::path& run_dir, Duration watch) {
  const std::string before = signs_of_life(run_dir);
  const MonoTime end = mono_now() + watch.count();
  while (mono_now() < end) {
    std::this_thread::sleep_for(std::min(Duration(defaults::journal_poll), watch));
    if (signs_of_life(run_dir) != before) return true;
  }
  return false;
}

std::string describe(const RunClaim& claim) {
  return "run " + claim.run_id + ", started " + format_wall_time(claim.started) + " by process " +
         std::to_string(claim.pid) + " on " + claim.host;
}

}  // namespace

RunClaim this_process(std::string run_id, std::string name) {
  return {.run_id = std::move(run_id),
          .name = std::move(name),
          .host = host_name(),
          .pid = ::getpid(),
          .pid_start = start_of(::getpid()),
          .pid_namespace = pid_namespace(),
          .started = wall_now()};
}

namespace {

/// Where no directory can be, another place must be named; a full disk, say, is no mistake of who named it.
bool is_no_place(int number) {
  constexpr std::array numbers{ENOTDIR, ENOENT, EACCES, EPERM, EROFS, ENAMETOOLONG, ELOOP, EEXIST};
  return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

}  // namespace

Status claim_run_dir(const std::filesystem::path& run_dir, const RunClaim& claim) {
  std::error_code error;
  std::filesystem::create_directories(run_dir, error);
  if (error) {
    Error problem = file_error("make the run directory", run_dir, error.value());
    if (is_no_place(error.value())) problem.code = ExitCode::usage;
    return problem;
  }
  const std::filesystem::path path = RunPaths(run_dir).claim();
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!fd && errno == EEXIST) {
    const auto owner = read_claim(run_dir);
    return Error{"the run directory belongs to " + (owner.ok() ? describe(*owner) : std::string("another run")),
                 run_dir.string(), "choose another --run-dir, or continue that run with --resume " + run_dir.string(),
                 ExitCode::usage};
  }
  if (!fd) return file_error("claim the run directory", path, errno);
  // The claim is the creation; readers see its content as a whole.
  if (Status written = write_file_atomically(path, to_text(claim)); !written.ok()) {
    ::unlink(path.c_str());
    return written;
  }
  return sync_folder(run_dir);
}

Status check_abandoned(const std::filesystem::path& run_dir, bool ended, Duration watch) {
  const auto owner = read_claim(run_dir);
  if (!owner.ok()) return owner.error();
  const PilotLife life = pilot_life(*owner);
  if (life == PilotLife::alive || (life == PilotLife::unknown && !ended && shows_life(run_dir, watch))) {
    return Error{"this run is still going on: " + describe(*owner), run_dir.string(),
                 "end it first, with `trireme stop`", ExitCode::usage};
  }
  return {};
}

Status take_over_run_dir(const std::filesystem::path& run_dir, const RunClaim& claim) {
  return write_file_atomically(RunPaths(run_dir).claim(), to_text(claim));
}

ClaimKeeper::ClaimKeeper(std::filesystem::path run_dir) : run_dir_(std::move(run_dir)) {
  if (auto own = read_claim(run_dir_); own.ok()) own_ = std::move(*own);
}

ClaimKeeper::~ClaimKeeper() {
  if (file_ >= 0) ::close(file_);
}

Status ClaimKeeper::beat() {
  if (const auto claim = read_claim(run_dir_); claim.ok() && own_ && *claim != *own_) {
    return Error{"another process has taken over this run: " + describe(*claim), run_dir_.string(),
                 "this one was taken for dead; the other goes on", ExitCode::runtime_failed};
  }
  if (file_ < 0) file_ = ::open(RunPaths(run_dir_).beat().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  const std::string text = std::to_string(wall_now()) + "\n";
  if (file_ >= 0 && ::pwrite(file_, text.data(), text.size(), 0) > 0) static_cast<void>(::fdatasync(file_));
  return {};
}

Result<RunClaim> read_claim(const std::filesystem::path& run_dir) {
  const std::filesystem::path path = RunPaths(run_dir).claim();
  std::ifstream file(path);
  if (!file) {
    return Error{"there is no run here", run_dir.string(), "a run directory holds a run.json", ExitCode::usage};
  }
  const auto json = ordered_json::parse(file, nullptr, false);
  if (!json.is_object()) {
    return Error{"run.json is not readable", path.string(), "a run that is just starting writes it within moments",
                 ExitCode::usage};
  }
  try {
    return RunClaim{.run_id = json.value("run_id", ""),
                    .name = json.value("name", ""),
                    .host = json.value("host", ""),
                    .pid = json.value("pid", std::int64_t{0}),
                    .pid_start = json.value("pid_start", std::uint64_t{0}),
                    .pid_namespace = json.value("pid_namespace", ""),
                    .started = json.value("started_ns", WallTime{0})};
  } catch (const ordered_json::exception& error) {
    return Error{std::string("run.json is not readable: ") + error.what(), path.string(), "", ExitCode::usage};
  }
}

PilotLife pilot_life(const RunClaim& claim) {
  if (claim.host != host_name() || claim.pid_namespace != pid_namespace()) return PilotLife::unknown;
  const std::uint64_t start = start_of(claim.pid);
  return start != 0 && start == claim.pid_start ? PilotLife::alive : PilotLife::gone;
}

}  // namespace trireme
