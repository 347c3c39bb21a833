// The progress display of a live run: a line that is redrawn on a terminal (`bar`), a line now and then (`plain`), or nothing.
//
// Looks at the RunView when it is given the time, and draws only when enough of it has passed and something has changed: so it
// may be called as often as one likes, and has to be called by next_deadline(). Writes through a sink. Belongs to the thread
// that calls it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.hpp"
#include "core/units.hpp"
#include "observe/pace.hpp"
#include "observe/run_view.hpp"

namespace trireme::observe {

/// Where progress is written.
class TextSink {
 public:
  virtual ~TextSink() = default;
  virtual void write(std::string_view text) = 0;
  virtual bool is_terminal() const = 0;
  /// Columns of the terminal.
  virtual std::size_t width() const = 0;
};

/// The standard error of this process. Waits for nobody: what it does not take at once is left out, since the pilot's thread writes here
/// and a terminal stopped by Ctrl-S must not stop the run.
class StderrSink final : public TextSink {
 public:
  void write(std::string_view text) override;
  bool is_terminal() const override;
  std::size_t width() const override;
};

enum class ProgressMode { automatic, bar, plain, none };
/// auto | bar | plain | none
Result<ProgressMode> parse_progress_mode(std::string_view text);

class Progress {
 public:
  /// `automatic` is `bar` on a terminal and `plain` elsewhere. Colour is used for `bar` alone, on a terminal, unless
  /// `no_color` (the variable NO_COLOR is set).
  Progress(ProgressMode mode, std::unique_ptr<TextSink> sink, bool no_color);

  /// Draws if it is time to.
  void on_time(MonoTime now, const RunView& run);
  /// When on_time() should be called at the latest.
  MonoTime next_deadline(MonoTime now) const;
  /// Tells a warning of the run, between the bar's drawings.
  void warn(std::string_view text);
  /// Takes the bar away, so that other text can be written; the next on_time() draws it again.
  void clear();
  /// Draws a last time and ends the line.
  void finish(MonoTime now, const RunView& run);

 private:
  struct Line {
    std::string counts;
    std::string rate;  ///< changes by itself as time passes, and is no news
  };
  Duration interval() const;
  Line line(const RunView& run, MonoTime now);
  std::string time_left() const;
  void draw(const Line& line, const RunView& run);

  ProgressMode mode_;
  std::unique_ptr<TextSink> sink_;
  bool colour_;
  std::optional<MonoTime> drawn_at_;
  std::string drawn_;  ///< the last line, without what is no news
  bool visible_ = false;
  Pace pace_;
};

}  // namespace trireme::observe
