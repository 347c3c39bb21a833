#include "node/unsent_ends.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string_view>

#include "journal/files.hpp"
#include "services/executor/frames.hpp"

namespace trireme {

Result<std::unique_ptr<UnsentEnds>> UnsentEnds::make(std::filesystem::path path) {
  const Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  const int error = file ? ::posix_fallocate(file.get(), 0, sizeof(std::uint64_t) + executor::unsent_bytes) : errno;
  if (error != 0) {
    return Error{std::string("cannot make the file for an executor's unsent ends: ") + std::strerror(error),
                 path.string(), "is the temporary folder full? TRIREME_TMPDIR names another", ExitCode::runtime_failed};
  }
  return std::unique_ptr<UnsentEnds>(new UnsentEnds(std::move(path)));
}

UnsentEnds::~UnsentEnds() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

std::string UnsentEnds::read() const {
  std::ifstream file(path_, std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(file), {}};
  std::string_view frames = all;
  const auto length = executor::take_integer<std::uint64_t>(frames);
  return std::string(frames.substr(0, std::min<std::uint64_t>(length, frames.size())));
}

}  // namespace trireme
