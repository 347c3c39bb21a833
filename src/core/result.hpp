// Result<T>, Status and Error are part of the public API.
#pragma once

#include "trireme/result.hpp"
