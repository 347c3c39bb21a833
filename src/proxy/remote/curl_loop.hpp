// libcurl's multi interface on the event loop: it says which sockets and times it waits for, Asio waits.
//
// All transfers to remote endpoints share one CurlLoop and so its pool of connections. A transfer is a curl easy handle
// that its owner has set up; the owner hears of its end from CurlTransfer::on_finished(). Belongs to the event loop.
#pragma once

#include <memory>

namespace boost::asio {
class io_context;
}

namespace trireme::proxy {

/// Who a transfer belongs to. Neither call comes from inside libcurl, and the transfer may be removed from inside both.
class CurlTransfer {
 public:
  /// libcurl has done something: bytes may have moved.
  virtual void on_progress() = 0;
  /// The transfer is over, with this CURLcode. It must be removed.
  virtual void on_finished(int code) = 0;

 protected:
  ~CurlTransfer() = default;
};

class CurlLoop {
 public:
  explicit CurlLoop(boost::asio::io_context& io);
  /// All transfers have been removed before.
  ~CurlLoop();
  CurlLoop(const CurlLoop&) = delete;
  CurlLoop& operator=(const CurlLoop&) = delete;

  /// Starts the transfer of `easy`, a CURL*. If libcurl refuses, it is finished at the next turn.
  void add(void* easy, CurlTransfer& transfer);
  void remove(void* easy);
  /// To be called from libcurl's callbacks of `easy`: on_progress() follows.
  void progressed(void* easy);
  /// Goes on with what was paused; bytes move at the next turn, never from inside this call.
  void resume(void* easy);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace trireme::proxy
