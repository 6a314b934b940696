package swf

// Types of the messages between the agents of fast processing (contract 2.5).
const (
	MsgTFFileRegistered   = "tf_file_registered"
	MsgRunImminentWorker  = "run_imminent_worker"
	MsgSlice              = "slice"
	MsgSliceResult        = "slice_result"
	MsgWorkerReady        = "worker_ready" // ours: a worker has begun to listen
	MsgProcessingComplete = "processing_complete"
)

// Destinations between fast processing and its PanDA workers (contract 2.5).
const (
	TopicWorkers      = "/topic/panda.workers"
	TopicSlices       = "/topic/panda.slices"
	QueueSliceResults = "/queue/panda.results.fastprocessing"
	// TopicSliceResults is ours: the results queue is one for all users, and an
	// agent that took a stranger's result from it passes it on by this topic.
	TopicSliceResults = "/topic/panda.results.fastprocessing"
)

// Statuses of a TF slice.
const (
	SliceQueued    = "queued"
	SliceCompleted = "completed"
	SliceFailed    = "failed"
)
