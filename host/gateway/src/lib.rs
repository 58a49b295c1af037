//! The gateway: joins the parts of edgewit into a running process. The only crate that knows all the others.
//!
//! What is coming, for who codes against it:
//!
//! ```ignore
//! pub use edgewit_sandbox::worker::WorkerCommand;
//! pub struct Options { pub config: PathBuf, pub dev: bool, pub worker: WorkerCommand, pub log: bool }
//! pub fn run(options: Options) -> Result<(), StartError>;              // start + wait; prints nothing but the log
//! impl Gateway {
//!     pub fn start(options: Options) -> Result<Gateway, StartError>;
//!     pub fn hub(&self) -> &Arc<Hub>;
//!     pub fn config(&self) -> Arc<Config>;
//!     pub fn metrics_address(&self) -> Option<SocketAddr>;
//!     pub fn command(&self, Command) -> Reply;                          // blocking; all but Logs{follow} and Subscribe
//!     pub fn wait(self);                                                // SIGTERM/SIGINT end it, SIGHUP reloads
//!     pub fn shutdown(self);
//! }
//! impl StartError { pub fn exit_code(&self) -> u8; }                    // 64 configuration, 75 already running, 1 else
//! pub mod control {
//!     impl Client {
//!         pub fn connect(&Path) -> Result<Client, ClientError>;
//!         pub fn ask(&mut self, &Command) -> Result<Reply, ClientError>;
//!         pub fn follow(self, &Command) -> Result<Follow, ClientError>; // Iterator<Item = Result<Reply, ClientError>>
//!     }
//! }
//! pub mod check {
//!     pub fn check(path: &Path, worker: &WorkerCommand) -> Report;      // Report: Serialize
//!     pub struct Report { pub file: String, pub findings: Vec<Finding>, pub warnings: Vec<Finding>,
//!                         pub components: BTreeMap<String, Checked> }
//!     pub struct Finding { pub line: Option<usize>, pub path: String, pub problem: String, pub cure: String }
//!     pub struct Checked { pub digest: String, pub exports: Vec<String> }
//!     impl Report { pub fn is_good(&self) -> bool; }                    // Display: for people
//! }
//! pub mod trial {
//!     pub enum Subject<'a> { Configured { config: &'a Path, component: &'a str }, Bare { file: &'a Path } }
//!     impl Trial {
//!         pub fn new(subject: Subject, worker: &WorkerCommand) -> Result<Trial, TrialError>;
//!         pub fn exports(&self) -> Exports;
//!         pub fn start(&mut self) -> TrialOutcome;
//!         pub fn message(&mut self, topic: &str, payload: Vec<u8>) -> TrialOutcome;
//!         pub fn tick(&mut self, name: &str) -> TrialOutcome;
//!     }
//!     pub enum TrialOutcome { Done(Effects), Rejected { reason: String }, Failed(Fault), NotAsked { reason: String } }
//! }
//! pub mod telemetry { pub fn line_text(&LogLine, colour: bool) -> String; } // as the gateway's own log prints it
//! ```

pub mod control;
