#include "node/spawner/locate.hpp"

#include <dlfcn.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <system_error>
#include <vector>

namespace trireme {
namespace {

namespace fs = std::filesystem;

fs::path program_file() {
  std::error_code unreadable;
  const auto path = fs::read_symlink("/proc/self/exe", unreadable);
  return unreadable ? fs::path() : path;
}

/// The shared library that this code is in, by the dynamic linker; empty where it is part of the program.
fs::path library_file() {
  static const char here = 0;
  Dl_info info{};
  link_map* map = nullptr;
  if (::dladdr1(&here, &info, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) == 0) return {};
  return map != nullptr && map->l_name != nullptr ? fs::path(map->l_name) : fs::path();
}

/// Where `folder` (of the installation: "libexec/trireme", say) is, seen from own_file().
struct Installed {
  const char* from_program;
  const char* from_library;
  const char* absolute;
};
constexpr Installed libexec{TRIREME_LIBEXEC_FROM_BIN, TRIREME_LIBEXEC_FROM_LIB, TRIREME_LIBEXECDIR};
constexpr Installed data{TRIREME_DATA_FROM_BIN, TRIREME_DATA_FROM_LIB, TRIREME_DATADIR};

/// Folders to look in, each once.
std::vector<fs::path> folders(const Installed& installed) {
  std::vector<fs::path> out;
  const auto add = [&out](fs::path folder) {
    if (std::find(out.begin(), out.end(), folder) == out.end()) out.push_back(std::move(folder));
  };
  const fs::path program = program_file();
  if (const fs::path own = own_file(); !own.empty()) {
    const bool library = own != program;
    add(own.parent_path());
    add((own.parent_path() / (library ? installed.from_library : installed.from_program)).lexically_normal());
  }
  if (!program.empty()) add(program.parent_path());
  add(installed.absolute);
  return out;
}

}  // namespace

fs::path own_file() {
  const fs::path library = library_file();
  if (library.empty()) return program_file();
  std::error_code unknown;
  auto path = fs::canonical(library, unknown);
  return unknown ? fs::path() : path;
}

Result<std::string> locate_companion(std::string_view name, const char* variable) {
  if (const char* named = std::getenv(variable); named != nullptr && *named != '\0') {
    if (::access(named, X_OK) == 0) return std::string(named);
    return Error{std::string(variable) + " names '" + named + "', which cannot be run", {}, {}};
  }
  std::string tried;
  for (const fs::path& folder : folders(libexec)) {
    const fs::path path = folder / name;
    if (::access(path.c_str(), X_OK) == 0) return path.string();
    tried += (tried.empty() ? "" : ", ") + path.string();
  }
  // What is missing comes first: the end of a long reason is cut off where there is little room.
  return Error{"cannot find the program " + std::string(name),
               {},
               std::string("set ") + variable + " to its path; looked at " + tried};
}

std::string locate_python() {
  if (const char* named = std::getenv("TRIREME_PYTHON_FOLDER"); named != nullptr) return named;
  std::error_code error;
  for (const fs::path& folder : folders(data)) {
    const fs::path path = folder / "python";
    if (fs::exists(path / "trireme" / "__init__.py", error)) return path.string();
  }
  return {};
}

}  // namespace trireme
