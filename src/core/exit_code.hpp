// ExitCode is part of the public API.
#pragma once

#include "trireme/exit_code.hpp"
