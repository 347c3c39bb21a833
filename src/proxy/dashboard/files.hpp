// The dashboard's page, which is part of the program: a compute node needs no other file, and no internet.
#pragma once

#include <span>
#include <string_view>

namespace trireme::proxy::dashboard {

struct File {
  std::string_view path;  ///< under /dashboard; "/" is the page itself
  std::string_view type;
  std::string_view content;
};

/// All of them (files_data.cpp.in, filled in by CMake).
std::span<const File> files();
/// Null where there is none.
const File* find_file(std::string_view path);

}  // namespace trireme::proxy::dashboard
