#include "launch/spawner/oom_score.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <string_view>

#include "core/defaults.hpp"

namespace trireme::spawner {
namespace {

constexpr std::string_view of_a_task(defaults::task_oom_score);

int number(std::string_view text) {
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

void set(int file, std::string_view score) {
  if (file < 0) return;
  [[maybe_unused]] const auto written = ::pwrite(file, score.data(), score.size(), 0);
}

}  // namespace

OomScore::OomScore() {
  const int file = ::open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
  std::array<char, 16> text{};
  const auto got = file < 0 ? -1 : ::read(file, text.data(), text.size());
  if (got > 0) own_.assign(text.data(), static_cast<std::size_t>(got));
  if (got > 0 && number(own_) < number(of_a_task)) {
    file_ = file;
  } else if (file >= 0) {
    ::close(file);
  }
}

OomScore::~OomScore() {
  if (file_ >= 0) ::close(file_);
}

void OomScore::raise() {
  set(file_, of_a_task);
}

void OomScore::restore() {
  set(file_, own_);
}

}  // namespace trireme::spawner
