// One connection of a proxy to a service: requests in, answers out, in any order.
//
// A thread of its own reads it. With one thread and no batches it handles requests as it reads them, in place, and their answers
// leave together; else requests that are whole go to the crew, whose threads answer. Under the connection's mutex but for
// receiving and for handling by the crew. Answers that the proxy does not take are kept, and while they are many nothing more is
// read; a proxy allows itself so many requests at a time, and more end the connection.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "native/codec.hpp"
#include "native/id_table.hpp"
#include "native/socket.hpp"
#include "trireme/native.hpp"

namespace trireme::native {

class ServiceConnection;

/// Threads that handle requests, of all connections. Bounded by what the connections may have in progress.
class Crew {
 public:
  explicit Crew(Service& service);
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;
  void add(std::shared_ptr<ServiceConnection> connection, Request request);
  void drop_cancelled();

 private:
  struct Item {
    std::shared_ptr<ServiceConnection> connection;
    Request request;
    Clock::time_point came;
  };
  void work();
  std::vector<Item> take_batch(std::unique_lock<std::mutex>& lock);

  Service& service_;
  std::mutex mutex_;
  std::condition_variable more_;
  std::deque<Item> queue_;
  bool over_ = false;
  std::vector<std::thread> threads_;
};

class ServiceConnection : public std::enable_shared_from_this<ServiceConnection> {
 public:
  /// Owns both descriptors; `wake` is an eventfd. `crew` null: requests are handled by the thread that reads them.
  ServiceConnection(int socket, int wake, Service& service, Crew* crew);
  ~ServiceConnection();
  ServiceConnection(const ServiceConnection&) = delete;
  ServiceConnection& operator=(const ServiceConnection&) = delete;

  /// Until the proxy is gone, or stop() was called and all is answered.
  void run();
  void stop();
  bool over() const { return over_; }
  /// From the crew: as many answers as requests. They leave in one write.
  void answer(Request& request, Response response);
  void send_answers();

 private:
  struct Work {
    Request request;  ///< while its body is still coming
    std::shared_ptr<std::atomic<bool>> cancelled;
    std::uint64_t credit = 0;
    std::uint64_t untold = 0;
    std::string body;       ///< of the answer, where it does not fit beside its head
    std::string_view rest;  ///< of that, what has not been sent
  };
  bool take_frames();
  bool take(const frames::Frame& frame);
  bool greet(const frames::Frame& frame);
  void welcome(std::uint16_t version);
  Wire wire() const { return {socket_, rings_.get()}; }
  bool begin(const frames::Frame& frame);
  bool go_on(const frames::Frame& frame);
  void arrived(std::uint64_t id);
  void respond(std::uint64_t id, Response response, std::uint64_t credit);
  void keep_memory(std::string body);
  void pump(std::uint64_t id, Work& work);
  void flush();

  Service& service_;
  Crew* const crew_;
  const int socket_;
  std::unique_ptr<frames::Rings> rings_;  ///< null: the proxy speaks through the socket alone
  const int wake_;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> over_ = false;

  std::mutex mutex_;
  Inbox in_;  ///< the reader's
  std::string out_;
  std::size_t sent_ = 0;
  bool broken_ = false;
  bool prefaced_ = false;
  bool greeted_ = false;
  bool full_ = false;       ///< it sleeps until answers that wait have left, whoever writes them
  bool held_back_ = false;  ///< whole frames may be in the inbox: too many answers waited to be taken
  std::uint64_t last_ = 0;
  frames::IdTable<std::unique_ptr<Work>> requests_;
  std::vector<std::uint64_t> blocked_;  ///< whose answers go on when out_ has left
  std::string spare_;                   ///< memory of a long body, for the next one
  Clock::time_point began_{};           ///< with the frames that are being taken
  std::size_t begun_ = 0;               ///< requests among them
};

}  // namespace trireme::native
