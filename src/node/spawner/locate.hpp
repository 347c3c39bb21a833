// Where the programs lie that a rank starts beside itself (trireme-spawner, trireme-pmix), and the Python module.
//
// They are looked for from the file that this code is in: the program, or the shared library that another program has loaded,
// wherever that program lies. So they are of the same build, also where an installation was moved.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "core/result.hpp"

namespace trireme {

/// The file that this code was loaded from: the running program or libtrireme.so, without symbolic links. Empty where nobody knows.
std::filesystem::path own_file();

/// The path of a companion program: what the environment variable `variable` says; else next to own_file() (a build folder); else in
/// libexec/trireme of its installation; else next to the running program; else where it was to be installed.
Result<std::string> locate_companion(std::string_view name, const char* variable);

/// The folder that holds the Python module `trireme`: what TRIREME_PYTHON_FOLDER says; else `python` next to own_file() (a build
/// folder); else in share/trireme of its installation; else where it was to be installed. Empty where there is none.
std::string locate_python();

}  // namespace trireme
