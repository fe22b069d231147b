//! Textures, buffers, tensors, previews: the same images wherever they are.

use super::*;
use std::time::Duration;
use undiffuse::pipeline::{Class, Outputs, PipelineError};

#[test]
fn a_texture_has_the_images_and_they_never_left_the_device() {
    let gpu = open();
    let pipeline = pipeline(&gpu, &Model::with_classes());
    let wanted = images(&pipeline, &options(5, 2));
    let outputs = Outputs { images: false, tensors: false, textures: true };
    let mut job = pipeline.sample(&Sample { outputs, ..options(5, 2) }).unwrap();
    job.finish().unwrap();
    // A word per image is read, to know that all its values are numbers.
    assert_eq!((job.report().maps, job.report().bytes_down), (3, 3 * 2 * 4));
    let texture = job.texture(1..5).unwrap();
    assert_eq!(texture.format(), wgpu::TextureFormat::Rgba8Unorm);
    assert_eq!((texture.width(), texture.height(), texture.depth_or_array_layers()), (8, 8, 4));
    // The format of an application that blends in linear light.
    texture.create_view(&wgpu::TextureViewDescriptor {
        format: Some(wgpu::TextureFormat::Rgba8UnormSrgb),
        ..Default::default()
    });
    assert_eq!((job.report().maps, job.report().bytes_down), (3, 3 * 2 * 4));
    let found = layers(&gpu, &texture);
    assert!(found == wanted[1..].iter().map(rgba).collect::<Vec<_>>());
    assert!(job.images().unwrap().is_empty(), "none were asked for on the host");
}

#[test]
fn buffers_and_textures_are_made_of_host_images_too() {
    let gpu = open();
    let pipeline = pipeline(&gpu, &Model::tiny());
    for textures in [true, false] {
        let outputs = Outputs { textures, ..Outputs::default() };
        let mut job = pipeline.sample(&Sample { outputs, ..options(3, 2) }).unwrap();
        let wanted: Vec<_> = job.images().unwrap().iter().map(rgba).collect();
        assert!(layers(&gpu, &job.texture(0..3).unwrap()) == wanted);
        let buffer = job.buffer(1..3).unwrap();
        assert_eq!(buffer.size(), 2 * 8 * 256);
        assert!(rows(&gpu.read(&buffer, buffer.size()).unwrap(), 8, 8) == wanted[1..]);
        // What was handed over is not there any more.
        assert_eq!(job.take().len(), 3);
        let error = job.texture(0..1).unwrap_err().to_string();
        assert!(error.contains("image 0 was taken") && error.contains("before take()"), "{error}");
    }
}

#[test]
fn ranges_and_limits_are_checked() {
    let gpu = open();
    let pipeline = pipeline(&gpu, &Model::tiny());
    let mut job = pipeline.sample(&options(2, 2)).unwrap();
    let text = |r: Result<wgpu::Texture, PipelineError>| r.map(|_| ()).unwrap_err().to_string();
    let early = text(job.texture(0..1));
    assert!(early.contains("range") && early.contains("0..1") && early.contains("0 are drawn"), "{early}");
    job.finish().unwrap();
    let late = text(job.texture(1..3));
    assert!(late.contains("1..3") && late.contains("2 are drawn"), "{late}");
    assert!(text(job.texture(1..1)).contains("1..1"));
    // More layers than the device allows.
    let layers = gpu.limits().max_texture_array_layers as usize;
    let error = gpu.texture("many", 8, 8, layers + 1).unwrap_err().to_string();
    for word in ["max_texture_array_layers", &format!("{}", layers + 1), "shorter range", "buffer()"] {
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[test]
fn tensors_are_what_the_pixels_were_made_of() {
    let gpu = open();
    let pipeline = pipeline(&gpu, &Model::with_classes());
    let outputs = Outputs { tensors: true, ..Outputs::default() };
    let asked = Sample { outputs, first_index: 4, ..options(5, 3) };
    let mut job = pipeline.sample(&asked).unwrap();
    let tensors = job.tensors().unwrap();
    assert_eq!((tensors.values.len(), tensors.first_index), (5 * 8 * 8 * 3, 4));
    // Classes in turn, by the index of the image.
    assert_eq!(tensors.labels, [1, 2, 0, 1, 2]);
    for (values, image) in tensors.values.chunks_exact(8 * 8 * 3).zip(job.images().unwrap()) {
        for (v, p) in values.iter().zip(image.as_raw()) {
            let byte = (f64::from(*v) * 127.5 + 127.5).clamp(0.0, 255.0);
            assert!((byte - f64::from(*p)).abs() < 0.501, "{v} became {p}");
        }
    }
    let empty = pipeline.sample(&Sample { class: Class::Index(1), ..asked }).unwrap().tensors().unwrap();
    assert_eq!(empty.labels, [1; 5]);
    let error = pipeline.sample(&options(1, 1)).unwrap().tensors().unwrap_err().to_string();
    assert!(error.contains("outputs.tensors") && error.contains("before the job is made"), "{error}");
}

#[test]
fn a_preview_shows_the_estimate_and_disturbs_nothing() {
    let gpu = open();
    let pipeline = pipeline(&gpu, &Model::tiny());
    let asked = Sample { steps: Some(6), ..options(3, 2) };
    let wanted = images(&pipeline, &asked);
    let mut job = pipeline.sample(&asked).unwrap();
    assert!(job.preview().unwrap().is_none(), "nothing is estimated yet");
    let (mut seen, mut last) = (0, None);
    while let Some(p) = job.advance(Duration::from_micros(300)).unwrap() {
        let maps = job.report().maps;
        if let Some(texture) = job.preview().unwrap() {
            assert_eq!((texture.width(), texture.depth_or_array_layers()), (8, 2));
            assert_eq!(job.report().maps, maps, "no map");
            let shown = layers(&gpu, &texture);
            assert!(shown.iter().flatten().all(|p| p[3] == 255));
            let images = job.preview_images().unwrap().expect("an estimate");
            assert_eq!(images.len(), 2.min(3 - p.images));
            // Nothing was submitted in between.
            assert!(images.iter().zip(&shown).all(|(i, s)| rgba(i) == *s));
            if p.step == p.steps && p.images == 0 {
                last = Some(shown);
            }
            seen += 1;
        }
    }
    assert!(seen > 5, "{seen} previews");
    assert!(job.take() == wanted);
    // DDIM's last step ends on its estimate.
    if let Some(last) = last {
        assert!(last == wanted[..2].iter().map(rgba).collect::<Vec<_>>());
    }
}
