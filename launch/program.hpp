// Which MPI a program uses, found out from the files: what it is linked to, directly or through its libraries; for an
// interpreter, what its MPI module is linked to.
//
// Reads ELF files itself: to run `ldd` would run the program's loader, and costs a process per task. Files are looked for as the
// loader would, as far as that needs no cache of its own: RUNPATH, LD_LIBRARY_PATH, the usual folders. Answers are kept per
// program, so that a thousand tasks cost one look. Belongs to the agent's loop.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/description.hpp"
#include "node/variables.hpp"

namespace trireme {

struct ProgramMpi {
  MpiKind kind = MpiKind::none;  ///< none: it cannot be told
  bool site_launcher = false;    ///< its library is made for its site's launcher: Cray MPICH
  std::string why;               ///< "./train is linked to libmpi.so.40"
};

class ProgramKinds {
 public:
  /// `program` as in argv[0], in an environment and a working folder.
  ProgramMpi find(const std::string& program, const Variables& variables, const std::string& cwd);

 private:
  std::map<std::string, ProgramMpi> known_;
};

/// The libraries that an ELF file says it needs, and where it says to look; empty if it is none.
struct ElfNeeds {
  std::vector<std::string> needed;
  std::vector<std::string> folders;  ///< of its RUNPATH or RPATH, $ORIGIN replaced
};
ElfNeeds elf_needs(const std::string& file);

/// The MPI that a library of this name belongs to; none if it is no MPI's.
MpiKind mpi_of_library(std::string_view name);
/// Whether it is one that only its site's launcher starts.
bool needs_site_launcher(std::string_view library);

/// The first program of these names in PATH; empty if there is none.
std::string find_in_path(const Variables& variables, std::span<const std::string_view> names);

}  // namespace trireme
