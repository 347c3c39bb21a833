#include "observe/progress.hpp"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdio>

#include "core/defaults.hpp"
#include "core/words.hpp"

namespace trireme::observe {
namespace {

MonoTime nanoseconds(Duration duration) {
  return duration.count();
}

std::uint64_t finished(const RunView& run) {
  return run.count(TaskState::done) + run.count(TaskState::failed) + run.count(TaskState::cancelled) +
         run.count(TaskState::skipped);
}

/// Whether there is nothing to tell yet.
bool is_empty(const RunView& run) {
  return run.tasks().empty() && run.services().empty();
}

std::string meter(std::uint64_t part, std::uint64_t all) {
  constexpr std::size_t cells = 20;
  const std::size_t full = all > 0 ? static_cast<std::size_t>(part * cells / all) : 0;
  return "[" + std::string(full, '#') + std::string(cells - full, '.') + "] ";
}

}  // namespace

void StderrSink::write(std::string_view text) {
  while (!text.empty()) {
    // What can be written now takes at least so many bytes without waiting (pipe(7)).
    pollfd one{STDERR_FILENO, POLLOUT, 0};
    if (::poll(&one, 1, 0) == 0) return;  // a terminal that was stopped, or a reader that has fallen behind
    const ssize_t n = ::write(STDERR_FILENO, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // nobody reads it
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

bool StderrSink::is_terminal() const {
  return ::isatty(STDERR_FILENO) == 1;
}

std::size_t StderrSink::width() const {
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

Result<ProgressMode> parse_progress_mode(std::string_view text) {
  if (text == "auto") return ProgressMode::automatic;
  if (text == "bar") return ProgressMode::bar;
  if (text == "plain") return ProgressMode::plain;
  if (text == "none") return ProgressMode::none;
  return Error{"\"" + std::string(text) + "\" is no progress display", "--progress", "it is auto, bar, plain or none",
               ExitCode::usage};
}

Progress::Progress(ProgressMode mode, std::unique_ptr<TextSink> sink, bool no_color)
    : mode_(mode), sink_(std::move(sink)), colour_(!no_color && sink_->is_terminal()) {
  if (mode_ == ProgressMode::automatic) {
    mode_ = sink_->is_terminal() ? ProgressMode::bar : ProgressMode::plain;
  }
}

Duration Progress::interval() const {
  switch (mode_) {
    case ProgressMode::bar:
      return defaults::progress_redraw;
    case ProgressMode::plain:
      return defaults::progress_line;
    case ProgressMode::automatic:
    case ProgressMode::none:
      break;
  }
  return std::chrono::hours(1);
}

MonoTime Progress::next_deadline(MonoTime now) const {
  return (drawn_at_ ? *drawn_at_ : now) + nanoseconds(interval());
}

void Progress::on_time(MonoTime now, const RunView& run) {
  if (mode_ == ProgressMode::none || is_empty(run)) return;
  if (drawn_at_ && now - *drawn_at_ < nanoseconds(interval())) return;
  drawn_at_ = now;
  draw(line(run, now), run);
}

void Progress::warn(std::string_view text) {
  if (mode_ == ProgressMode::none) return;
  if (visible_) clear();  // it is drawn again below
  std::string lines;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines += begin == 0 ? "trireme: warning: " : "trireme:   ";
    lines += printable(text.substr(begin, end - begin), Newlines::kept) + "\n";
    begin = end + 1;
  }
  sink_->write(lines);
}

void Progress::clear() {
  if (visible_) sink_->write("\r\x1b[K");
  visible_ = false;
  drawn_.clear();
  drawn_at_.reset();
}

void Progress::finish(MonoTime now, const RunView& run) {
  if (mode_ == ProgressMode::none || is_empty(run)) return;
  draw(line(run, now), run);
  if (visible_) sink_->write("\n");
  visible_ = false;
}

Progress::Line Progress::line(const RunView& run, MonoTime now) {
  const std::uint64_t total = run.tasks().size();
  const std::uint64_t over = finished(run);
  pace_.on_time(now, total, over);

  std::string out;
  constexpr std::size_t wide = 50;  // a narrower terminal had room for the meter, and not for the counts
  if (mode_ == ProgressMode::bar && sink_->width() >= wide) out += meter(over, total);
  out += std::to_string(run.count(TaskState::done)) + "/" + std::to_string(total) + " done";
  const auto add = [&out](std::uint64_t n, const char* what) {
    if (n > 0) out += ", " + std::to_string(n) + " " + what;
  };
  add(run.count(TaskState::running), "running");
  add(run.count(TaskState::waiting) + run.count(TaskState::ready), "waiting");
  add(run.count(TaskState::failed), "failed");
  add(run.count(TaskState::skipped) + run.count(TaskState::cancelled), "skipped");

  if (!run.services().empty()) {
    std::uint32_t ready = 0;
    std::uint32_t replicas = 0;
    for (const ServiceRecord& service : run.services()) {
      ready += service.ready();
      replicas += service.wanted();
    }
    // With its tasks a run's services end: that none is ready any more is no news then.
    const bool is_over = run.ended() || (total > 0 && over == total);
    if (ready > 0 || !is_over) out += ", replicas ready " + std::to_string(ready) + "/" + std::to_string(replicas);
  }
  if (run.draining()) out += ", draining";

  std::array<char, 48> rate{};
  if (const auto ended = pace_.rate()) std::snprintf(rate.data(), rate.size(), ", %.1f tasks/s", *ended);
  return {std::move(out), rate.data() + time_left()};
}

/// ", 12m left", by the mean rate since the display began; empty while too little is known.
std::string Progress::time_left() const {
  const auto left = pace_.left();
  if (!left) return "";
  const auto whole = static_cast<std::int64_t>(seconds(*left) + 0.5);
  std::string text;
  if (whole >= 3600) text += std::to_string(whole / 3600) + "h";
  if (whole >= 60) text += std::to_string(whole / 60 % 60) + "m";
  if (whole < 600) text += std::to_string(whole % 60) + "s";
  return ", " + text + " left";
}

void Progress::draw(const Line& line, const RunView& run) {
  const std::string text = line.counts + line.rate;
  const std::string& news = mode_ == ProgressMode::plain ? line.counts : text;
  if (news == drawn_) return;
  drawn_ = news;
  if (mode_ == ProgressMode::plain) {
    sink_->write("trireme: " + text + "\n");
    return;
  }
  // One column is left free: a full line would wrap on some terminals.
  const std::size_t room = sink_->width() > 1 ? sink_->width() - 1 : 1;
  std::string shown = text.substr(0, room);
  if (colour_) {
    const char* colour = run.count(TaskState::failed) > 0 ? "\x1b[31m" : "\x1b[32m";
    shown = colour + shown + "\x1b[0m";
  }
  sink_->write("\r\x1b[K" + shown);
  visible_ = true;
}

}  // namespace trireme::observe
