#include "node/spawner/locate.hpp"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <vector>

namespace trireme {

Result<std::string> locate_companion(std::string_view name, const char* variable) {
  namespace fs = std::filesystem;
  if (const char* named = std::getenv(variable); named != nullptr && *named != '\0') {
    if (::access(named, X_OK) == 0) return std::string(named);
    return Error{std::string(variable) + " names '" + named + "', which cannot be run", {}, {}};
  }
  std::vector<fs::path> candidates;
  std::error_code unreadable;
  const auto self = fs::read_symlink("/proc/self/exe", unreadable);
  if (!unreadable) {
    const auto folder = self.parent_path();
    candidates.push_back(folder / name);
    candidates.push_back(folder.parent_path() / "libexec" / "trireme" / name);
  }
  candidates.push_back(fs::path(TRIREME_LIBEXECDIR) / name);
  std::string tried;
  for (const auto& path : candidates) {
    if (::access(path.c_str(), X_OK) == 0) return path.string();
    tried += (tried.empty() ? "" : ", ") + path.string();
  }
  // What is missing comes first: the end of a long reason is cut off where there is little room.
  return Error{"cannot find the program " + std::string(name),
               {},
               std::string("set ") + variable + " to its path; looked at " + tried};
}

std::string locate_python() {
  namespace fs = std::filesystem;
  if (const char* named = std::getenv("TRIREME_PYTHON_FOLDER"); named != nullptr) return named;
  std::vector<fs::path> candidates;
  std::error_code error;
  const auto self = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    candidates.push_back(self.parent_path() / "python");
    candidates.push_back(self.parent_path().parent_path() / "share" / "trireme" / "python");
  }
  candidates.push_back(fs::path(TRIREME_DATADIR) / "python");
  for (const auto& path : candidates) {
    if (fs::exists(path / "trireme" / "__init__.py", error)) return path.string();
  }
  return {};
}

}  // namespace trireme
