#include "workflow/shell_words.hpp"

#include <optional>

#include "core/exit_code.hpp"

namespace trireme::workflow {
namespace {

Error needs_shell(std::string_view syntax) {
  return {"\"" + std::string(syntax) + "\" needs a shell", "",
          "write the text as a script, or put it in quotes if it is meant as it stands", ExitCode::usage};
}

Error not_closed(char quote) {
  return {std::string("the quote ") + quote + " is not closed", "", "", ExitCode::usage};
}

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/// Characters that mean something to a shell wherever they stand unquoted.
constexpr std::string_view syntax = "|&;<>()$`*?";

/// "NAME=": an assignment in front of a command.
bool is_assignment(std::string_view word) {
  const std::size_t equals = word.find('=');
  if (equals == std::string_view::npos || equals == 0) return false;
  for (std::size_t i = 0; i < equals; ++i) {
    const char c = word[i];
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && (i == 0 || c < '0' || c > '9')) return false;
  }
  return true;
}

class Splitter {
 public:
  explicit Splitter(std::string_view text) : text_(text) {
    while (!text_.empty() && is_blank(text_.back())) text_.remove_suffix(1);
  }

  Result<std::vector<std::string>> split() {
    while (at_ < text_.size()) {
      if (auto problem = step()) return *problem;
    }
    end_word();
    if (!words_.empty() && first_word_plain_ && is_assignment(words_.front())) {
      return Error{"\"" + words_.front() + "\" is a shell's way to set a variable", "",
                   "put it under env, or write the text as a script", ExitCode::usage};
    }
    return std::move(words_);
  }

 private:
  std::optional<Error> step() {
    const char c = text_[at_];
    if (c == '\n' && (in_word_ || !words_.empty())) return needs_shell("\\n");
    if (is_blank(c)) {
      end_word();
      ++at_;
    } else if (c == '\'') {
      return single_quotes();
    } else if (c == '"') {
      return double_quotes();
    } else if (c == '\\') {
      if (at_ + 1 >= text_.size()) {
        return Error{"a backslash ends the text", "", "", ExitCode::usage};
      }
      // A backslash in front of a line break joins the lines.
      if (text_[at_ + 1] != '\n') add(text_[at_ + 1]);
      if (words_.empty()) first_word_plain_ = false;
      at_ += 2;
    } else if (syntax.find(c) != std::string_view::npos) {
      const bool doubled =
          (c == '&' || c == '|' || c == '>' || c == '<') && at_ + 1 < text_.size() && text_[at_ + 1] == c;
      return needs_shell(text_.substr(at_, doubled ? 2 : 1));
    } else if ((c == '#' || c == '~') && !in_word_) {
      return needs_shell(text_.substr(at_, 1));
    } else {
      add(c);
      ++at_;
    }
    return std::nullopt;
  }

  std::optional<Error> single_quotes() {
    const std::size_t end = text_.find('\'', at_ + 1);
    if (end == std::string_view::npos) return not_closed('\'');
    open_word();
    word_ += text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return std::nullopt;
  }

  std::optional<Error> double_quotes() {
    open_word();
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        return std::nullopt;
      }
      if (c == '$' || c == '`') return needs_shell(text_.substr(at_, 1));
      constexpr std::string_view escapable = "\\\"$`";
      if (c == '\\' && at_ + 1 < text_.size() && escapable.find(text_[at_ + 1]) != std::string_view::npos) {
        ++at_;
      }
      word_ += text_[at_];
    }
    return not_closed('"');
  }

  void open_word() {
    in_word_ = true;
    if (words_.empty()) first_word_plain_ = false;
  }
  void add(char c) {
    in_word_ = true;
    word_ += c;
  }
  void end_word() {
    if (in_word_) words_.push_back(std::move(word_));
    word_.clear();
    in_word_ = false;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool in_word_ = false;
  bool first_word_plain_ = true;  ///< nothing in it was quoted
  std::string word_;
  std::vector<std::string> words_;
};

}  // namespace

Result<std::vector<std::string>> split_words(std::string_view text) {
  return Splitter(text).split();
}

}  // namespace trireme::workflow
