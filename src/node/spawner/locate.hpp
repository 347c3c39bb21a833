// Where the programs lie that a rank starts beside itself (trireme-spawner, trireme-pmix).
#pragma once

#include <string>
#include <string_view>

#include "core/result.hpp"

namespace trireme {

/// The path of a companion program: what the environment variable `variable` says; else next to the running program (a build
/// folder); else ../libexec/trireme from there (a moved installation); else where it was installed, for a foreign program
/// that embeds the runtime.
Result<std::string> locate_companion(std::string_view name, const char* variable);

/// The folder that holds the Python module `trireme`: what TRIREME_PYTHON_FOLDER says; else `python` next to the running program
/// (a build folder); else ../share/trireme/python from there; else where it was installed. Empty where there is none.
std::string locate_python();

}  // namespace trireme
