package swf

import "encoding/json"

// FastMonFile is a registered sample of time frames, contract 1.4. STFFile is
// the name of the STF file that it was taken from.
type FastMonFile struct {
	TFFileID      string          `json:"tf_file_id"`
	STFFile       string          `json:"stf_file"`
	TFFilename    string          `json:"tf_filename"`
	FileSizeBytes *int64          `json:"file_size_bytes"`
	Checksum      *string         `json:"checksum"`
	Status        string          `json:"status"`
	Metadata      json.RawMessage `json:"metadata"`
	CreatedAt     Timestamp       `json:"created_at"`
	UpdatedAt     Timestamp       `json:"updated_at"`
	TFCount       *int            `json:"tf_count"`
	TFFirst       *int            `json:"tf_first"`
	TFLast        *int            `json:"tf_last"`
}

// TFSlice is a part of a sample, the work of one worker. FastMonFile is the
// sample's name; SliceID counts from 0 within it.
type TFSlice struct {
	ID             int64           `json:"id,omitempty"`
	FastMonFile    string          `json:"fastmon_file"`
	SliceID        int             `json:"slice_id"`
	TFFirst        int             `json:"tf_first"`
	TFLast         int             `json:"tf_last"`
	TFCount        int             `json:"tf_count"`
	RunNumber      int64           `json:"run_number"`
	Status         string          `json:"status"`
	Retries        int             `json:"retries"`
	Metadata       json.RawMessage `json:"metadata"`
	CreatedAt      *Timestamp      `json:"created_at,omitempty"`
	UpdatedAt      *Timestamp      `json:"updated_at,omitempty"`
	AssignedWorker *string         `json:"assigned_worker"`
	AssignedAt     *Timestamp      `json:"assigned_at"`
	CompletedAt    *Timestamp      `json:"completed_at"`
}

// RecordedMessage is a bus message as the monitor keeps it, contract 1.5, with
// the fields that are of use; Content is the body as it was sent.
type RecordedMessage struct {
	MessageID   string          `json:"message_id"`
	Type        string          `json:"message_type"`
	Sender      *string         `json:"sender_agent"`
	Recipient   *string         `json:"recipient_agent"`
	Namespace   *string         `json:"namespace"`
	ExecutionID *string         `json:"execution_id"`
	RunID       *string         `json:"run_id"`
	Content     json.RawMessage `json:"message_content"`
	SentAt      Timestamp       `json:"sent_at"`
	QueueName   *string         `json:"queue_name"`
}
