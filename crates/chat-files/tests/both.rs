//! The same promises in a folder and in S3.

#![allow(clippy::unwrap_used, reason = "helpers are tests too, which clippy does not know")]

use chat_core::{FileId, MediaType};
use chat_files::test_s3::TestS3;
use chat_files::{FilesError, FilesLocation, ObjectFiles};
use futures_util::TryStreamExt as _;
use tempfile::TempDir;

/// A place of files, and what keeps it alive.
struct Place {
    files: ObjectFiles,
    folder: TempDir,
    s3: Option<TestS3>,
    location: FilesLocation,
}

impl Place {
    async fn of(location: FilesLocation, folder: TempDir, s3: Option<TestS3>) -> Self {
        let files = ObjectFiles::open(&location, folder.path()).await.unwrap();
        Self { files, folder, s3, location }
    }

    async fn both() -> Vec<Self> {
        let folder = tempfile::tempdir().unwrap();
        let location = FilesLocation::Folder(folder.path().join("files"));
        let mut places = vec![Self::of(location, folder, None).await];
        if let Some(s3) = TestS3::start() {
            let location = FilesLocation::S3(s3.location("a/b"));
            places.push(Self::of(location, tempfile::tempdir().unwrap(), Some(s3)).await);
        }
        places
    }

    /// Names of all objects, and of files on their way, without locks.
    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut folders = vec![self.folder.path().join("files")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => names.push(path.file_name().unwrap().to_str().unwrap().to_owned()),
                }
            }
        }
        let objects = self.s3.iter().flat_map(TestS3::objects);
        names.extend(objects.map(|name| name.rsplit('/').next().unwrap().to_owned()));
        names.retain(|name| !name.ends_with(".lock"));
        names.sort();
        names
    }

    async fn keep(&self, id: &FileId, bytes: &[u8]) {
        let mut upload = self.files.receive(id, bytes.len() as u64).await.unwrap();
        for chunk in bytes.chunks(100_000) {
            upload.write(chunk.to_vec().into()).await.unwrap();
        }
        let received = upload.finish(MediaType::parse("text/plain")).await.unwrap();
        assert_eq!(received.size(), bytes.len() as u64);
        received.commit().await.unwrap();
    }
}

fn id(byte: u8) -> FileId {
    FileId::from_bytes([byte; 16])
}

#[tokio::test]
async fn what_is_kept_is_read_in_parts_and_deleted() {
    for place in Place::both().await {
        let bytes: Vec<u8> = (0..700_000_u32).map(|index| (index % 251) as u8).collect();
        place.keep(&id(1), &bytes).await;
        place.keep(&id(2), b"").await;
        assert_eq!(place.names(), [id(1).to_string(), id(2).to_string()], "{:?}", place.location);
        for range in [0..700_000, 0..1, 131_071..131_073, 699_999..700_000, 250_000..650_000] {
            let part = place.files.read(&id(1), range.clone()).await.unwrap().unwrap();
            assert_eq!(part.left(), range.end - range.start);
            let part: Vec<_> = part.try_collect().await.unwrap();
            assert!(part.concat() == bytes[range.start as usize..range.end as usize], "{range:?}");
        }
        let empty = place.files.read(&id(2), 0..0).await.unwrap().unwrap();
        assert_eq!(empty.try_collect::<Vec<_>>().await.unwrap().concat(), b"");
        assert!(place.files.read(&id(3), 0..1).await.unwrap().is_none());
        assert!(place.files.read(&id(3), 0..0).await.unwrap().is_none());
        assert_eq!(place.files.read_whole(&id(1), 699_999).await.unwrap(), None);

        assert_eq!(place.files.preview(&id(1)).await.unwrap(), None);
        let lock = place.files.lock_preview(&id(1)).await;
        place.files.keep_preview(&id(1), "small".into(), &lock).await.unwrap();
        assert_eq!(place.files.preview(&id(1)).await.unwrap(), Some("small".into()));
        let ids = [id(1), id(2), id(3)];
        let deleted = place.files.delete(&ids).await;
        assert_eq!((&*deleted.files, deleted.error.is_none()), (&ids[1..], true), "one is in use");
        drop(lock);
        assert_eq!(place.files.delete(&ids).await.files, ids);
        assert_eq!(place.names(), [""; 0]);
    }
}

#[tokio::test]
async fn one_that_cannot_be_deleted_keeps_no_other_from_it() {
    let place = Place::both().await.remove(0);
    let ids = [id(1), id(2), id(3)];
    for id in &ids {
        place.keep(id, b"hello").await;
    }
    let path = place.folder.path().join("files").join(&ids[0].as_str()[..2]).join(ids[0].as_str());
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let deleted = place.files.delete(&ids).await;
    assert_eq!((&*deleted.files, deleted.error.is_some()), (&ids[1..], true));
    assert_eq!(place.names(), [""; 0]);
    std::fs::remove_dir(&path).unwrap();
    assert_eq!(place.files.delete(&ids).await.files, ids);
}

#[tokio::test]
async fn a_large_file_is_sent_in_pieces() {
    for place in Place::both().await {
        let bytes: Vec<u8> = (0..40_000_000_u32).map(|index| (index / 3) as u8).collect();
        place.keep(&id(1), &bytes).await;
        assert!(place.files.read_whole(&id(1), u64::MAX).await.unwrap().unwrap() == bytes);
        assert_eq!(place.names().len(), 1);
    }
}

#[tokio::test]
async fn what_breaks_off_leaves_nothing() {
    for place in Place::both().await {
        let mut upload = place.files.receive(&id(1), 10).await.unwrap();
        upload.write("hello".into()).await.unwrap();
        assert_eq!(place.names(), [id(1).to_string()]);
        drop(upload);
        assert_eq!(place.names(), [""; 0]);

        let mut upload = place.files.receive(&id(1), 10).await.unwrap();
        upload.write("hello".into()).await.unwrap();
        let refused = upload.write("hello!".into()).await;
        assert!(matches!(refused, Err(FilesError::TooLarge { max_bytes: 10 })));
        drop(upload);
        let mut upload = place.files.receive(&id(1), 10).await.unwrap();
        upload.write("hello".into()).await.unwrap();
        drop(upload.finish(None).await.unwrap());
        assert_eq!(place.names(), [""; 0]);

        // A server that starts beside this one leaves it; what a crash leaves has a test in `spool.rs`.
        let mut upload = place.files.receive(&id(1), 10).await.unwrap();
        upload.write("hello".into()).await.unwrap();
        drop(ObjectFiles::open(&place.location, place.folder.path()).await.unwrap());
        assert_eq!(place.names(), [id(1).to_string()]);
        drop(upload);
        assert_eq!(place.names(), [""; 0]);
    }
}

#[tokio::test]
async fn a_storage_that_is_out_is_an_error_and_nothing_hangs() {
    let Some(s3) = TestS3::start() else { return };
    let mut location = s3.location("");
    location.credentials = Some(("an-id".to_owned(), "another key".to_owned()));
    let folder = tempfile::tempdir().unwrap();
    let files = ObjectFiles::open(&FilesLocation::S3(location), folder.path()).await.unwrap();
    assert!(files.may_appear_later());
    let mut upload = files.receive(&id(1), 10).await.unwrap();
    upload.write("hello".into()).await.unwrap();
    let received = upload.finish(None).await.unwrap();
    assert!(matches!(received.commit().await, Err(FilesError::Storage(_))));
    assert!(matches!(files.read(&id(1), 0..5).await, Err(FilesError::Storage(_))));
    let deleted = files.delete(&[id(1)]).await;
    assert!(deleted.files.is_empty() && matches!(deleted.error, Some(FilesError::Storage(_))));
    // The preview may still appear, so that the file is not deleted yet.
    let lock = files.lock_preview(&id(1)).await;
    assert!(matches!(files.keep_preview(&id(1), "small".into(), &lock).await, Err(FilesError::Storage(_))));
    drop(lock);
    let deleted = files.delete(&[id(1)]).await;
    assert!(deleted.files.is_empty() && deleted.error.is_none());
    assert_eq!(s3.objects(), [""; 0]);
}
