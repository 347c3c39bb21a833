#include "node/end_words.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>

namespace trireme {

std::string signal_name(int signo) {
  const char* name = ::sigabbrev_np(signo);
  return name == nullptr ? "signal " + std::to_string(signo) : "SIG" + std::string(name);
}

std::string words_for_end(const spawner::Ended& ended, Duration timeout) {
  std::string out;
  if (ended.timed_out) {
    out = "ended after its timeout of " + format_duration(timeout);
  } else if (ended.signo != 0) {
    out = "killed by signal " + std::to_string(ended.signo) + " (" + signal_name(ended.signo) + ")";
    if (ended.signo == SIGKILL && !ended.stopped) out += " (the kernel does that when memory runs out)";
  } else {
    out = "exit code " + std::to_string(ended.exit_code);
    if (ended.exit_code == 127) out += " (a program that it calls was not found, or a library of it)";
    if (ended.exit_code == 126) out += " (a program that it calls cannot be executed)";
  }
  if (ended.leftover > 0) {
    out += "; " + std::to_string(ended.leftover) + " of its processes could not be ended and may still hold resources";
  }
  return out;
}

Usage usage_of(const spawner::Ended& ended) {
  return {ended.max_rss_bytes, Duration(static_cast<std::int64_t>(ended.user_ns)),
          Duration(static_cast<std::int64_t>(ended.system_ns))};
}

AttemptEnd end_of(const spawner::Ended& ended, Duration timeout) {
  AttemptEnd end;
  end.signal = ended.signo;
  end.exit_code = ended.signo != 0 ? 128 + ended.signo : ended.exit_code;
  end.usage = usage_of(ended);
  end.ended = ended.at.wall_ns;
  if (ended.timed_out) {
    end.outcome = Outcome::timeout;
  } else if (end.exit_code != 0) {
    end.outcome = Outcome::failed;
  }
  if (end.outcome != Outcome::done) end.reason = words_for_end(ended, timeout);
  return end;
}

AttemptEnd end_of(const spawner::Failed& failed) {
  AttemptEnd end;
  end.outcome = Outcome::failed;
  end.exit_code = failed.stage == spawner::Stage::program && failed.error == ENOENT ? 127 : 126;
  end.reason = failed.text;
  end.ended = wall_now();
  return end;
}

}  // namespace trireme
