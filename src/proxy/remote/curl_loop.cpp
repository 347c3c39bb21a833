#include "proxy/remote/curl_loop.hpp"

#include <curl/curl.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <map>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "proxy/timer.hpp"

namespace trireme::proxy {

namespace asio = boost::asio;

namespace {

/// One socket that libcurl waits for. It belongs to libcurl, which closes it.
struct Watch : std::enable_shared_from_this<Watch> {
  Watch(asio::io_context& io, curl_socket_t socket) : descriptor(io, socket) {}
  asio::posix::stream_descriptor descriptor;
  int wanted = CURL_POLL_NONE;
  bool reading = false;
  bool writing = false;
  bool ended = false;
};

}  // namespace

struct CurlLoop::State : std::enable_shared_from_this<CurlLoop::State> {
  explicit State(asio::io_context& context) : io(context), timer(context, [this] { act(CURL_SOCKET_TIMEOUT, 0); }) {
    static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
    multi = initialised == CURLE_OK ? curl_multi_init() : nullptr;
    if (multi == nullptr) throw std::system_error(std::make_error_code(std::errc::not_enough_memory), "libcurl");
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
    // One transfer per connection: libcurl 7.88 loses track of streams that share one, and some never end.
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
  }

  asio::io_context& io;
  CURLM* multi = nullptr;
  Timer timer;
  std::map<curl_socket_t, std::shared_ptr<Watch>> watches;
  std::map<void*, CurlTransfer*> transfers;
  std::set<void*> progress;
  std::set<void*> resumed;
  std::set<void*> refused;
  bool posted = false;
  bool closed = false;

  static int on_timer(CURLM*, long timeout_ms, void* self) {
    Timer& timer = static_cast<State*>(self)->timer;
    timer.disarm();
    if (timeout_ms >= 0) timer.arm(std::chrono::milliseconds(timeout_ms));
    return 0;
  }

  static int on_socket(CURL*, curl_socket_t socket, int what, void* self, void*) {
    State& state = *static_cast<State*>(self);
    auto& watch = state.watches[socket];
    if (what == CURL_POLL_REMOVE) {
      if (watch) {
        watch->ended = true;
        watch->descriptor.release();
      }
      state.watches.erase(socket);
      return 0;
    }
    if (!watch) watch = std::make_shared<Watch>(state.io, socket);
    watch->wanted = what;
    state.wait(watch);
    return 0;
  }

  auto ready(const std::shared_ptr<Watch>& watch, bool Watch::*waiting, int wanted, int event) {
    return [self = shared_from_this(), watch, waiting, wanted, event](const boost::system::error_code& error) {
      (*watch).*waiting = false;
      if (error || watch->ended || self->closed) return;
      if ((watch->wanted & wanted) != 0) self->act(watch->descriptor.native_handle(), event);
      if (!watch->ended && !self->closed) self->wait(watch);
    };
  }

  void wait(const std::shared_ptr<Watch>& watch) {
    if ((watch->wanted & CURL_POLL_IN) != 0 && !std::exchange(watch->reading, true)) {
      watch->descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                                   ready(watch, &Watch::reading, CURL_POLL_IN, CURL_CSELECT_IN));
    }
    if ((watch->wanted & CURL_POLL_OUT) != 0 && !std::exchange(watch->writing, true)) {
      watch->descriptor.async_wait(asio::posix::stream_descriptor::wait_write,
                                   ready(watch, &Watch::writing, CURL_POLL_OUT, CURL_CSELECT_OUT));
    }
  }

  void act(curl_socket_t socket, int events) {
    int running = 0;
    curl_multi_socket_action(multi, socket, events, &running);
    dispatch();
  }

  void dispatch() {
    for (void* easy : std::exchange(progress, {})) {
      if (const auto found = transfers.find(easy); found != transfers.end()) found->second->on_progress();
    }
    int left = 0;
    std::vector<std::pair<void*, int>> finished;
    for (void* easy : std::exchange(refused, {})) finished.emplace_back(easy, CURLE_FAILED_INIT);
    while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg == CURLMSG_DONE) finished.emplace_back(message->easy_handle, message->data.result);
    }
    for (const auto& [easy, code] : finished) {
      if (const auto found = transfers.find(easy); found != transfers.end()) found->second->on_finished(code);
    }
  }

  void post_resume() {
    if (std::exchange(posted, true)) return;
    asio::post(io, [self = shared_from_this()] {
      self->posted = false;
      if (self->closed) return;
      for (void* easy : std::exchange(self->resumed, {})) {
        if (self->transfers.contains(easy)) curl_easy_pause(easy, CURLPAUSE_CONT);
      }
      self->dispatch();
    });
  }
};

CurlLoop::CurlLoop(asio::io_context& io) : state_(std::make_shared<State>(io)) {}

CurlLoop::~CurlLoop() {
  state_->closed = true;
  state_->timer.disarm();
  for (auto& [socket, watch] : state_->watches) {
    watch->ended = true;
    watch->descriptor.release();
  }
  state_->watches.clear();
  curl_multi_setopt(state_->multi, CURLMOPT_SOCKETFUNCTION, nullptr);
  curl_multi_setopt(state_->multi, CURLMOPT_TIMERFUNCTION, nullptr);
  curl_multi_cleanup(state_->multi);
}

void CurlLoop::add(void* easy, CurlTransfer& transfer) {
  state_->transfers[easy] = &transfer;
  if (curl_multi_add_handle(state_->multi, easy) == CURLM_OK) return;
  state_->refused.insert(easy);
  state_->post_resume();
}

void CurlLoop::remove(void* easy) {
  if (state_->transfers.erase(easy) == 0) return;
  state_->progress.erase(easy);
  state_->resumed.erase(easy);
  state_->refused.erase(easy);
  curl_multi_remove_handle(state_->multi, easy);
}

void CurlLoop::progressed(void* easy) {
  state_->progress.insert(easy);
}

void CurlLoop::resume(void* easy) {
  state_->resumed.insert(easy);
  state_->post_resume();
}

}  // namespace trireme::proxy
