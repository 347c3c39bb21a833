#include "node/tmp_folder.hpp"

#include <sys/un.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <utility>

namespace trireme {
namespace {

namespace fs = std::filesystem;

// Room that the names of sockets in the folder need, "/" and a zero byte included.
constexpr std::size_t socket_name = 16;

Result<fs::path> make_in(const std::string& parent) {
  std::string name = parent + "/trireme-XXXXXX";
  if (name.size() + socket_name > sizeof(sockaddr_un::sun_path)) {
    return Error{"the path is too long for sockets in it", parent, "use a shorter one", ExitCode::usage};
  }
  if (::mkdtemp(name.data()) == nullptr) {
    return Error{"cannot make a private folder: " + std::generic_category().message(errno), parent, "",
                 ExitCode::runtime_failed};
  }
  return fs::path(name);
}

}  // namespace

Result<TmpFolder> TmpFolder::create(const Lookup& environment) {
  const auto look_up = [&](const char* name) -> std::optional<std::string> {
    if (environment) return environment(name);
    const char* value = std::getenv(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  if (const auto chosen = look_up("TRIREME_TMPDIR"); chosen && !chosen->empty()) {
    auto made = make_in(*chosen);
    if (made) return TmpFolder(std::move(*made));
    Error error = std::move(made).error();
    error.where = "TRIREME_TMPDIR=" + error.where;
    return error;
  }
  if (const auto usual = look_up("TMPDIR"); usual && !usual->empty()) {
    if (auto made = make_in(*usual)) return TmpFolder(std::move(*made));
  }
  auto made = make_in("/tmp");
  if (made) return TmpFolder(std::move(*made));
  Error error = std::move(made).error();
  error.hint = "set TRIREME_TMPDIR to a folder that can be written to";
  return error;
}

TmpFolder::~TmpFolder() {
  if (path_.empty()) return;
  std::error_code ignored;  // what cannot be removed stays behind; there is nobody left to tell
  fs::remove_all(path_, ignored);
}

TmpFolder::TmpFolder(TmpFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}

TmpFolder& TmpFolder::operator=(TmpFolder&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}

}  // namespace trireme
