// The private folder of a rank on its node's own disk: sockets of the proxy and of replicas, scratch folders of tasks.
//
// A run directory on a parallel file system is too slow for scratch and its path too long for a socket's, so this lies in
// $TRIREME_TMPDIR, else $TMPDIR, else /tmp, with a name of its own and access for the user alone. It is removed, with all that
// is in it, when its owner is destroyed.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.hpp"

namespace trireme {

class TmpFolder {
 public:
  using Lookup = std::function<std::optional<std::string>(std::string_view name)>;

  /// `environment` defaults to getenv. A candidate that cannot be written to or leaves no room for a socket's name is passed
  /// over, except TRIREME_TMPDIR, which the user meant: that fails.
  static Result<TmpFolder> create(const Lookup& environment = {});
  ~TmpFolder();
  TmpFolder(TmpFolder&& other) noexcept;
  TmpFolder& operator=(TmpFolder&& other) noexcept;

  const std::filesystem::path& path() const { return path_; }
  /// Where the rank's proxy listens.
  std::filesystem::path proxy_socket() const { return path_ / "proxy"; }

 private:
  explicit TmpFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace trireme
