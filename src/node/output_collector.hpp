// Takes what tasks write whose output is streamed, and appends it to the node's one file (docs/spec/output.md).
//
// Each stream of a task is a pipe that its process opens by name (/proc/PID/fd/N of this rank), so nobody has to hand
// descriptors on. A thread of its own waits for all of them and writes in rounds: from each pipe that holds something at most
// one chunk, then all that was taken at once. So memory is bounded by one batch, a task that writes more than the file system
// takes waits in its own write(), and none waits for another's. While all write little, a round waits a moment for more: fewer
// and longer records.
//
// This rank holds the writing end too, so a pipe never ends: a stream is over when the agent says that its processes are gone.
// One that nothing was ever written to is over at once, without a word to the thread, which is what most small tasks are.
//
// Used on the loop. The thread owns what it shares with it, and is left behind if it hangs (core/worker_thread.hpp).
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/result.hpp"
#include "core/worker_thread.hpp"
#include "journal/output_index.hpp"

namespace boost::asio {
class io_context;
}

namespace trireme {

class OutputCollector {
 public:
  class Stream;
  using Streams = std::vector<std::shared_ptr<Stream>>;

  /// The files are made when the first stream is opened.
  OutputCollector(boost::asio::io_context& loop, std::filesystem::path data, std::filesystem::path index);
  /// What is being written is waited for; completions do not come any more.
  ~OutputCollector();
  OutputCollector(const OutputCollector&) = delete;
  OutputCollector& operator=(const OutputCollector&) = delete;

  Result<std::shared_ptr<Stream>> open(OutputSource source);
  /// The processes that write to these are gone: `done`, once all that they wrote is in the file, or says why it is not.
  /// Perhaps from inside this call.
  void finish(const Streams& streams, std::function<void(Status)> done);
  /// They are not wanted any more.
  void drop(const Streams& streams);

  /// What a process opens to write to the stream.
  static const std::string& path(const Stream& stream);
  /// The end of what was written; of a stream that is finished.
  static const std::string& tail(const Stream& stream);

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
  WorkerThread thread_;
};

}  // namespace trireme
