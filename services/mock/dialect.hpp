// One API's way to ask a model and to be answered. OpenAI's and Ollama's are the two.
//
// A Dialect turns a request body into a Question that the engine understands, and tokens into the bytes of an answer. It
// knows nothing of connections or time.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"
#include "services/mock/engine.hpp"

namespace trireme::mock {

/// What there is to know about the model.
struct ModelOptions {
  std::vector<std::string> names{"mock"};  ///< any name is answered; these are listed
  std::size_t output_tokens = 64;          ///< of an answer whose request sets no limit
  std::size_t embedding_size = 384;
  std::size_t block = 16;  ///< tokens in a block of the prefix cache
};

struct Question {
  std::string model;
  bool stream = false;
  bool usage = true;                ///< the stream tells the numbers of tokens too
  std::vector<std::string> inputs;  ///< of an embedding; empty for a text
  std::uint64_t seed = 0;
  Job job;
};

class Dialect {
 public:
  virtual ~Dialect() = default;
  virtual Result<Question> read(std::string_view body, const ModelOptions& model) const = 0;

  virtual std::string_view stream_type() const = 0;
  /// The pieces of a stream: what comes with the token of that number, and what follows the last one.
  virtual std::string token(const Question& question, std::size_t index) const = 0;
  virtual std::string ending(const Question& question) const = 0;
  /// The answer in one piece, JSON.
  virtual std::string whole(const Question& question, const ModelOptions& model) const = 0;
  /// An error in the API's own shape, JSON.
  virtual std::string error(int status, std::string_view what) const = 0;
};

/// The dialect that answers at this path, or nullptr.
const Dialect* dialect_at(std::string_view path);
const Dialect* openai_dialect(std::string_view path);
const Dialect* ollama_dialect(std::string_view path);

/// What the API lists and tells about its models without asking one: JSON, or empty where there is nothing at this path.
std::string openai_page(std::string_view path, const ModelOptions& model);
std::string ollama_page(std::string_view path, const ModelOptions& model);

}  // namespace trireme::mock
