#include "launch/program.hpp"

#include <elf.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>

#include "core/defaults.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t longest_table = 16u << 20;  // of a file's dynamic entries or their strings

std::vector<std::string> split(std::string_view list) {
  std::vector<std::string> out;
  while (!list.empty()) {
    const auto colon = std::min(list.find(':'), list.size());
    if (colon > 0) out.emplace_back(list.substr(0, colon));
    list.remove_prefix(std::min(colon + 1, list.size()));
  }
  return out;
}

std::string value_of(const Variables& variables, std::string_view name) {
  const auto found = variables.find(name);
  return found == variables.end() ? "" : found->second;
}

/// Reads parts of a file; every failure is an empty answer.
class File {
 public:
  explicit File(const std::string& path) : in_(path, std::ios::binary) {}

  template <typename T>
  std::vector<T> read(std::uint64_t offset, std::uint64_t bytes) {
    if (bytes > longest_table) return {};
    std::vector<T> out(bytes / sizeof(T));
    in_.clear();
    in_.seekg(static_cast<std::streamoff>(offset));
    in_.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size() * sizeof(T)));
    if (static_cast<std::size_t>(in_.gcount()) != out.size() * sizeof(T)) out.clear();
    return out;
  }

 private:
  std::ifstream in_;
};

std::optional<std::uint64_t> offset_of(const std::vector<Elf64_Phdr>& segments, std::uint64_t address) {
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type == PT_LOAD && address >= segment.p_vaddr && address - segment.p_vaddr < segment.p_filesz) {
      return address - segment.p_vaddr + segment.p_offset;
    }
  }
  return std::nullopt;
}

std::string find_program(const std::string& name, const Variables& variables, const std::string& cwd) {
  if (name.find('/') != std::string::npos) return (fs::path(cwd) / name).lexically_normal();
  for (const std::string& folder : split(value_of(variables, "PATH"))) {
    const std::string path = (fs::path(cwd) / folder / name).lexically_normal();
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return "";
}

/// "#!/usr/bin/env python3" → python3, found; empty if the file is no script.
std::string interpreter_of(const std::string& file, const Variables& variables) {
  std::ifstream in(file);
  std::string line;
  std::array<char, 2> mark{};
  in.read(mark.data(), mark.size());
  if (!in || mark[0] != '#' || mark[1] != '!' || !std::getline(in, line) || line.size() > 4096) return "";
  std::vector<std::string> words;
  for (std::size_t at = line.find_first_not_of(' '); at != std::string::npos; at = line.find_first_not_of(' ', at)) {
    const auto end = std::min(line.find(' ', at), line.size());
    words.push_back(line.substr(at, end - at));
    at = end;
  }
  if (words.empty()) return "";
  if (fs::path(words[0]).filename() != "env" || words.size() < 2) return words[0];
  return find_program(words.back(), variables, "/");
}

/// The library by which a file uses MPI, breadth first through what it needs; its name, or empty.
std::string mpi_library(const std::string& file, const Variables& variables) {
  const std::vector<std::string> from_user = split(value_of(variables, "LD_LIBRARY_PATH"));
  static const std::vector<std::string> usual{"/usr/local/lib",
                                              "/lib/x86_64-linux-gnu",
                                              "/usr/lib/x86_64-linux-gnu",
                                              "/lib/aarch64-linux-gnu",
                                              "/usr/lib/aarch64-linux-gnu",
                                              "/lib64",
                                              "/usr/lib64",
                                              "/lib",
                                              "/usr/lib"};
  std::deque<std::string> files{file};
  std::set<std::string> seen;
  for (std::size_t looked = 0; !files.empty() && looked < defaults::elf_search_files; ++looked) {
    const ElfNeeds needs = elf_needs(files.front());
    files.pop_front();
    for (const std::string& name : needs.needed) {
      if (mpi_of_library(name) != MpiKind::none) return name;
    }
    for (const std::string& name : needs.needed) {
      if (!seen.insert(name).second) continue;
      const auto try_in = [&](const std::vector<std::string>& folders) {
        for (const std::string& folder : folders) {
          std::string path = folder + "/" + name;
          if (::access(path.c_str(), R_OK) == 0) return files.push_back(std::move(path)), true;
        }
        return false;
      };
      static_cast<void>(try_in(needs.folders) || try_in(from_user) || try_in(usual));
    }
  }
  return "";
}

/// mpi4py's shared object, as this interpreter would find it; empty if it has none.
std::string python_mpi_module(const std::string& interpreter, const Variables& variables) {
  std::vector<fs::path> folders;
  for (const std::string& folder : split(value_of(variables, "PYTHONPATH"))) folders.emplace_back(folder);
  std::error_code ignored;
  // The interpreter's own prefix (a virtual environment's, too), then where its links lead.
  for (const fs::path& bin : {fs::path(interpreter).parent_path(), fs::canonical(interpreter, ignored).parent_path()}) {
    const fs::path lib = bin.parent_path() / "lib";
    for (const auto& entry : fs::directory_iterator(lib, ignored)) {
      if (!entry.path().filename().string().starts_with("python3")) continue;
      folders.push_back(entry.path() / "site-packages");
      folders.push_back(entry.path() / "dist-packages");
    }
  }
  for (const fs::path& folder : folders) {
    for (const auto& entry : fs::directory_iterator(folder / "mpi4py", ignored)) {
      const std::string name = entry.path().filename();
      if (name.starts_with("MPI.") && name.ends_with(".so")) return entry.path();
    }
  }
  return "";
}

ProgramMpi look(const std::string& program, const Variables& variables, const std::string& cwd) {
  std::string file = find_program(program, variables, cwd);
  std::string name = program;
  if (const std::string interpreter = interpreter_of(file, variables); !interpreter.empty()) file = name = interpreter;
  if (const std::string library = mpi_library(file, variables); !library.empty()) {
    return {mpi_of_library(library), needs_site_launcher(library), name + " is linked to " + library};
  }
  if (fs::path(name).filename().string().starts_with("python")) {
    const std::string module = python_mpi_module(file, variables);
    const std::string library = module.empty() ? "" : mpi_library(module, variables);
    if (!library.empty()) {
      return {mpi_of_library(library), needs_site_launcher(library), name + "'s mpi4py is linked to " + library};
    }
  }
  return {};
}

}  // namespace

MpiKind mpi_of_library(std::string_view name) {
  const auto is = [name](std::string_view stem) {
    return name.starts_with(stem) && (name.size() == stem.size() || name[stem.size()] == '.');
  };
  if (is("libmpich.so") || is("libmvapich.so") || needs_site_launcher(name)) return MpiKind::mpich;
  // MPICH's ABI initiative has libmpi.so.12; Open MPI's number is 40 (20 before version 3).
  if (is("libmpi.so.12")) return MpiKind::mpich;
  if (is("libmpi.so")) return MpiKind::openmpi;
  if (is("libpmix.so")) return MpiKind::pmix;
  return MpiKind::none;
}

bool needs_site_launcher(std::string_view name) {
  // Cray MPICH, by the compiler that it is for: libmpi_gnu_123.so.12
  constexpr std::array<std::string_view, 6> compilers{"cray", "gnu", "amd", "aocc", "nvidia", "intel"};
  return std::any_of(compilers.begin(), compilers.end(), [name](std::string_view compiler) {
    const std::string stem = "libmpi_" + std::string(compiler);
    return name.starts_with(stem) &&
           (name.substr(stem.size()).starts_with("_") || name.substr(stem.size()).starts_with(".so"));
  });
}

std::string find_in_path(const Variables& variables, std::span<const std::string_view> names) {
  const auto path = variables.find("PATH");
  const auto folders = split(path == variables.end() ? "/usr/bin:/bin" : path->second);
  for (const std::string_view name : names) {
    for (const std::string& folder : folders) {
      std::string file = folder + "/" + std::string(name);
      if (::access(file.c_str(), X_OK) == 0) return file;
    }
  }
  return "";
}

ElfNeeds elf_needs(const std::string& path) {
  ElfNeeds needs;
  File file(path);
  const auto header = file.read<Elf64_Ehdr>(0, sizeof(Elf64_Ehdr));
  if (header.empty() || std::memcmp(header[0].e_ident, ELFMAG, SELFMAG) != 0 ||
      header[0].e_ident[EI_CLASS] != ELFCLASS64 || header[0].e_phentsize != sizeof(Elf64_Phdr)) {
    return needs;
  }
  const auto segments = file.read<Elf64_Phdr>(header[0].e_phoff, header[0].e_phnum * sizeof(Elf64_Phdr));
  const auto dynamic =
      std::find_if(segments.begin(), segments.end(), [](auto& one) { return one.p_type == PT_DYNAMIC; });
  if (dynamic == segments.end()) return needs;
  const auto entries = file.read<Elf64_Dyn>(dynamic->p_offset, dynamic->p_filesz);
  std::uint64_t strings_at = 0;
  std::uint64_t strings_size = 0;
  for (const Elf64_Dyn& entry : entries) {
    if (entry.d_tag == DT_STRTAB) strings_at = entry.d_un.d_ptr;
    if (entry.d_tag == DT_STRSZ) strings_size = entry.d_un.d_val;
  }
  const auto offset = offset_of(segments, strings_at);
  if (!offset) return needs;
  auto strings = file.read<char>(*offset, strings_size);
  if (strings.empty()) return needs;
  strings.back() = '\0';
  const std::string origin = fs::path(path).parent_path();
  for (const Elf64_Dyn& entry : entries) {
    if (entry.d_tag == DT_NULL) break;
    if (entry.d_un.d_val >= strings.size()) continue;
    const std::string text = strings.data() + entry.d_un.d_val;
    if (entry.d_tag == DT_NEEDED) needs.needed.push_back(text);
    if (entry.d_tag != DT_RUNPATH && entry.d_tag != DT_RPATH) continue;
    for (std::string folder : split(text)) {
      for (const std::string_view variable : {"$ORIGIN", "${ORIGIN}"}) {
        if (const auto at = folder.find(variable); at != std::string::npos) folder.replace(at, variable.size(), origin);
      }
      needs.folders.push_back(std::move(folder));
    }
  }
  return needs;
}

ProgramMpi ProgramKinds::find(const std::string& program, const Variables& variables, const std::string& cwd) {
  // A name without a slash, or an absolute one, is the same program in every folder.
  const bool relative = program.find('/') != std::string::npos && program[0] != '/';
  const std::string key = program + '\n' + (relative ? cwd : "") + '\n' + value_of(variables, "PATH") + '\n' +
                          value_of(variables, "LD_LIBRARY_PATH") + '\n' + value_of(variables, "PYTHONPATH");
  const auto found = known_.find(key);
  if (found != known_.end()) return found->second;
  if (known_.size() >= defaults::elf_search_files) known_.clear();
  return known_.emplace(key, look(program, variables, cwd)).first->second;
}

}  // namespace trireme
